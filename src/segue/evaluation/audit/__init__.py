"""Leak tests of features and labels: what a score may rest on beside the music.

Import from the modules: ``run.audit_features`` for all tests, ``order.order_test`` and its
neighbours for one. Numbers only: what is known of files comes in as columns.
"""
