"""Recorded real data: where it lies, and the guard that all of it was tested.

The data is not part of this repository. `STRONGROOM_VECTORS` names its folder; by default it lies
beside the checkout, in `../shared/vectors`.
"""
