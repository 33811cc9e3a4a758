# Written by docs/write_api.py from __init__.py.
from polymodal.alignment import DTW as DTW
from polymodal.alignment import align as align
from polymodal.coordination import CCA as CCA
from polymodal.coordination import CLIP as CLIP
from polymodal.core import Files as Files
from polymodal.core import Modalities as Modalities
from polymodal.core import Modality as Modality
from polymodal.core import Ragged as Ragged
from polymodal.core import Texts as Texts
from polymodal.fission import SharedIndividual as SharedIndividual
from polymodal.fusion import AdditiveFusion as AdditiveFusion
from polymodal.fusion import EarlyFusion as EarlyFusion
from polymodal.fusion import HybridFusion as HybridFusion
from polymodal.fusion import LateFusion as LateFusion
from polymodal.fusion import TensorFusion as TensorFusion
from polymodal.persistence import load as load
from polymodal.persistence import save as save
from polymodal.retrieval import Retriever as Retriever
from polymodal.training import Training as Training

__version__: str
