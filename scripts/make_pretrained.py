"""Make a pretrained model of the package from a run: half precision, the generator alone.

    python scripts/make_pretrained.py runs/table1/runs/sound2sight_seed0 m3so

writes `src/soundsight/pretrained/m3so/`.  The card is written by hand: what it says is measured by
`soundsight evaluate --pretrained m3so`.
"""

import dataclasses
import hashlib
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from soundsight import pretrained, recipes, sampling
from soundsight.models import sound2sight


def main(run: Path, name: str) -> Path:
    """Write the folder of a pretrained model; returns it.

    Raises:
        ValueError: if the run is no finished Sound2Sight.
    """
    trained = sampling.load_run(run, device="cpu")
    if not isinstance(trained.recipe.model, sound2sight.Config):
        raise ValueError(f"{run} is no Sound2Sight: say here what of it sampling does not need")
    model = dataclasses.replace(trained.recipe.model, discriminator="none")
    optim = {"generator": trained.recipe.train.optim["generator"]}
    train = dataclasses.replace(trained.recipe.train, optim=optim)
    recipe = dataclasses.replace(trained.recipe, model=model, train=train)
    wanted = recipe.model.build(recipe.clip).state_dict()
    state = trained.model.state_dict()
    half = {
        key: state[key].half().contiguous() if state[key].is_floating_point() else state[key]
        for key in wanted
    }
    if not all(torch.isfinite(tensor).all() for tensor in half.values()):
        raise ValueError(f"{run}: a weight does not fit into half precision")
    out = pretrained.HOME / name
    out.mkdir(parents=True, exist_ok=True)
    save_file(half, out / "weights.safetensors")
    (out / "weights.safetensors").chmod(0o644)
    digest = hashlib.sha256((out / "weights.safetensors").read_bytes()).hexdigest()
    (out / "sha256").write_text(digest + "\n", encoding="utf-8")
    document = json.dumps(recipes.to_json(recipe), indent=1)
    (out / "recipe.json").write_text(document + "\n", encoding="utf-8")
    return out


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.argv[2]))
