"""The baseline "Multiframe [56]" of Sound2Sight's Table 1a: it is shown all seen frames.

Command: soundsight train speech_driven_m3so_nb_multiframe --out runs/speech_driven_nb_multiframe
    --data.digits mnist --data.mnist MNIST
Hardware: as speech_driven_m3so_nb.
Time: not measured yet.
Score: not measured yet. The Sound2Sight paper reports PSNR 18.09, 15.23, 15.33 at frames 6, 15, 25
    for its own.
"""

import dataclasses

from soundsight.recipes import Recipe
from soundsight.recipes.speech_driven_m3so_nb import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(BASE, model=dataclasses.replace(BASE.model, identity="all"))
