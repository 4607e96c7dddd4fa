"""(X, y, groups) -> report rows; knows numbers only, never audio.

Import from the modules: ``compare.evaluate_target`` for report rows, ``protocols.fit_head`` for one
model, ``heads.make_head`` for an estimator. Nothing is imported here, so that reading
``evaluation.rows`` does not cost loading scikit-learn.
"""
