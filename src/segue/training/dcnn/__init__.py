"""Convnets taught by soft targets, one task or several, and what is made of their features.

Kim et al. 2018, sections 3.2 to 3.4.
"""
