# Written by docs/write_api.py from __init__.py.
from polymodal.testing.contract import Check as Check
from polymodal.testing.contract import check_estimator as check_estimator
from polymodal.testing.contract import checks_for as checks_for
from polymodal.testing.discovery import public_estimators as public_estimators
from polymodal.testing.discovery import public_packages as public_packages
from polymodal.testing.examples import example_data as example_data
