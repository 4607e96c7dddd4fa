"""Any Hugging Face audio encoder as an encoder of segue: ``hf:NAME_OR_FOLDER``.

Needs ``pip install 'segue[hf]'``, which is loaded only when such a model is opened. Weights are
read from safetensors files alone, and code of a repository is never run. How each family hears a
chunk stands in :mod:`segue.encoders.huggingface.hearing` and ``spectra``.
"""

from segue.encoders.huggingface.model import Model, open_model
from segue.encoders.huggingface.places import pull_model

__all__ = ["Model", "open_model", "pull_model"]
