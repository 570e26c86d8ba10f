"""The paper's tables: rows and foot of each held against its page, line by line."""

import re
from importlib import import_module
from typing import NamedTuple

import pytest

from ali import recipes

# Appendix A of arXiv:1606.00704v3, copied line by line: operation, kernel, strides, feature maps, BN?, dropout, nonlinearity.
PAGES = {
    "cifar10": """
        Gz(x) - 3x32x32 input
        Convolution 5x5 1x1 32 BN 0.0 Leaky ReLU
        Convolution 4x4 2x2 64 BN 0.0 Leaky ReLU
        Convolution 4x4 1x1 128 BN 0.0 Leaky ReLU
        Convolution 4x4 2x2 256 BN 0.0 Leaky ReLU
        Convolution 4x4 1x1 512 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 512 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 128 -- 0.0 Linear
        Gx(z) - 64x1x1 input
        Transposed convolution 4x4 1x1 256 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 2x2 128 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 1x1 64 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 2x2 32 BN 0.0 Leaky ReLU
        Transposed convolution 5x5 1x1 32 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 32 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 3 -- 0.0 Sigmoid
        D(x) - 3x32x32 input
        Convolution 5x5 1x1 32 -- 0.2 Maxout
        Convolution 4x4 2x2 64 -- 0.5 Maxout
        Convolution 4x4 1x1 128 -- 0.5 Maxout
        Convolution 4x4 2x2 256 -- 0.5 Maxout
        Convolution 4x4 1x1 512 -- 0.5 Maxout
        D(z) - 64x1x1 input
        Convolution 1x1 1x1 512 -- 0.2 Maxout
        Convolution 1x1 1x1 512 -- 0.5 Maxout
        D(x,z) - 1024x1x1 input
        Convolution 1x1 1x1 1024 -- 0.5 Maxout
        Convolution 1x1 1x1 1024 -- 0.5 Maxout
        Convolution 1x1 1x1 1 -- 0.5 Sigmoid
        Optimizer Adam alpha=1e-4 beta1=0.5 beta2=1e-3
        Batch size 100
        Epochs 6475
        Leaky ReLU slope, maxout pieces 0.1, 2
        Weight, bias initialization Isotropic gaussian mu=0 sigma=0.01, Constant(0)
    """,
    "svhn": """
        Gz(x) - 3x32x32 input
        Convolution 5x5 1x1 32 BN 0.0 Leaky ReLU
        Convolution 4x4 2x2 64 BN 0.0 Leaky ReLU
        Convolution 4x4 1x1 128 BN 0.0 Leaky ReLU
        Convolution 4x4 2x2 256 BN 0.0 Leaky ReLU
        Convolution 4x4 1x1 512 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 512 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 512 -- 0.0 Linear
        Gx(z) - 256x1x1 input
        Transposed convolution 4x4 1x1 256 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 2x2 128 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 1x1 64 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 2x2 32 BN 0.0 Leaky ReLU
        Transposed convolution 5x5 1x1 32 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 32 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 3 -- 0.0 Sigmoid
        D(x) - 3x32x32 input
        Convolution 5x5 1x1 32 -- 0.2 Leaky ReLU
        Convolution 4x4 2x2 64 BN 0.2 Leaky ReLU
        Convolution 4x4 1x1 128 BN 0.2 Leaky ReLU
        Convolution 4x4 2x2 256 BN 0.2 Leaky ReLU
        Convolution 4x4 1x1 512 BN 0.2 Leaky ReLU
        D(z) - 256x1x1 input
        Convolution 1x1 1x1 512 -- 0.2 Leaky ReLU
        Convolution 1x1 1x1 512 -- 0.2 Leaky ReLU
        D(x,z) - 1024x1x1 input
        Convolution 1x1 1x1 1024 -- 0.2 Leaky ReLU
        Convolution 1x1 1x1 1024 -- 0.2 Leaky ReLU
        Convolution 1x1 1x1 1 -- 0.2 Sigmoid
        Optimizer Adam alpha=1e-4 beta1=0.5 beta2=1e-3
        Batch size 100
        Epochs 100
        Leaky ReLU slope 0.01
        Weight, bias initialization Isotropic gaussian mu=0 sigma=0.01, Constant(0)
    """,
    "celeba": """
        Gz(x) - 3x64x64 input
        Convolution 2x2 1x1 64 BN 0.0 Leaky ReLU
        Convolution 7x7 2x2 128 BN 0.0 Leaky ReLU
        Convolution 5x5 2x2 256 BN 0.0 Leaky ReLU
        Convolution 7x7 2x2 256 BN 0.0 Leaky ReLU
        Convolution 4x4 1x1 512 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 512 -- 0.0 Linear
        Gx(z) - 512x1x1 input
        Transposed convolution 4x4 1x1 512 BN 0.0 Leaky ReLU
        Transposed convolution 7x7 2x2 256 BN 0.0 Leaky ReLU
        Transposed convolution 5x5 2x2 256 BN 0.0 Leaky ReLU
        Transposed convolution 7x7 2x2 128 BN 0.0 Leaky ReLU
        Transposed convolution 2x2 1x1 64 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 3 -- 0.0 Sigmoid
        D(x) - 3x64x64 input
        Convolution 2x2 1x1 64 BN 0.0 Leaky ReLU
        Convolution 7x7 2x2 128 BN 0.0 Leaky ReLU
        Convolution 5x5 2x2 256 BN 0.0 Leaky ReLU
        Convolution 7x7 2x2 256 BN 0.0 Leaky ReLU
        Convolution 4x4 1x1 512 BN 0.0 Leaky ReLU
        D(z) - 512x1x1 input
        Convolution 1x1 1x1 1024 -- 0.2 Leaky ReLU
        Convolution 1x1 1x1 1024 -- 0.2 Leaky ReLU
        D(x,z) - 1024x1x1 input
        Convolution 1x1 1x1 2048 -- 0.2 Leaky ReLU
        Convolution 1x1 1x1 2048 -- 0.2 Leaky ReLU
        Convolution 1x1 1x1 1 -- 0.2 Sigmoid
        Optimizer Adam alpha=1e-4 beta1=0.5
        Batch size 100
        Epochs 123
        Leaky ReLU slope 0.02
        Weight, bias initialization Isotropic gaussian mu=0 sigma=0.01, Constant(0)
    """,
    "tiny_imagenet": """
        Gz(x) - 3x64x64 input
        Convolution 4x4 2x2 64 BN 0.0 Leaky ReLU
        Convolution 4x4 1x1 64 BN 0.0 Leaky ReLU
        Convolution 4x4 2x2 128 BN 0.0 Leaky ReLU
        Convolution 4x4 1x1 128 BN 0.0 Leaky ReLU
        Convolution 4x4 2x2 256 BN 0.0 Leaky ReLU
        Convolution 4x4 1x1 256 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 2048 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 2048 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 512 -- 0.0 Linear
        Gx(z) - 256x1x1 input
        Convolution 1x1 1x1 2048 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 256 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 1x1 256 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 2x2 128 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 1x1 128 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 2x2 64 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 1x1 64 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 2x2 64 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 3 -- 0.0 Sigmoid
        D(x) - 3x64x64 input
        Convolution 4x4 2x2 64 -- 0.2 Leaky ReLU
        Convolution 4x4 1x1 64 BN 0.2 Leaky ReLU
        Convolution 4x4 2x2 128 BN 0.2 Leaky ReLU
        Convolution 4x4 1x1 128 BN 0.2 Leaky ReLU
        Convolution 4x4 2x2 256 BN 0.2 Leaky ReLU
        Convolution 4x4 1x1 256 BN 0.2 Leaky ReLU
        D(z) - 256x1x1 input
        Convolution 1x1 1x1 2048 -- 0.2 Leaky ReLU
        Convolution 1x1 1x1 2048 -- 0.2 Leaky ReLU
        D(x,z) - 2304x1x1 input
        Convolution 1x1 1x1 4096 -- 0.2 Leaky ReLU
        Convolution 1x1 1x1 4096 -- 0.2 Leaky ReLU
        Convolution 1x1 1x1 1 -- 0.2 Sigmoid
        Optimizer Adam alpha=1e-4 beta1=0.5 beta2=1e-3
        Batch size 128
        Epochs 125
        Leaky ReLU slope 0.01
        Weight, bias initialization Isotropic gaussian mu=0 sigma=0.01, Constant(0)
    """,
}
NAMES = list(PAGES)

# Every place where ours is not what the page says: (section, row or "input" or "foot", column) -> (page, ours).
BETA2 = {("foot", "Adam", "beta2"): (1e-3, 0.999)}  # the authors' library took 1 - beta2
DEVIATIONS: dict[str, dict[tuple, tuple]] = {
    "cifar10": BETA2,
    "svhn": BETA2,
    "celeba": {
        ("Gx(z)", "input", "maps"): (512, 256),  # a misprint, confirmed by an author: 512 maps of Gz are mu and log sigma
        ("D(z)", "input", "maps"): (512, 256),  # the same
        ("D(x,z)", "input", "maps"): (1024, 1536),  # 512 of D(x) and 1024 of D(z)
        ("D(x)", 1, "batch_norm"): (True, False),  # authors' code, as in Tables 4 and 6
        **{("D(x)", row, "dropout"): (0.0, 0.2) for row in range(1, 6)},  # the same
        ("foot", "Adam", "beta2"): (None, 0.999),  # the page has none: as in Tables 3, 4 and 6
    },
    "tiny_imagenet": BETA2,
}

SECTIONS = {"Gz(x)": "G_z", "Gx(z)": "G_x", "D(x)": "D_x", "D(z)": "D_z", "D(x,z)": "D_xz"}
OPERATIONS = {"Convolution": "conv", "Transposed convolution": "tconv"}
NONLINEARITIES = {"Leaky ReLU": "lrelu", "Maxout": "maxout", "Linear": "linear", "Sigmoid": "sigmoid"}


class Line(NamedTuple):
    """A line of the page."""

    operation: str
    kernel: int
    stride: int
    maps: int
    batch_norm: bool
    dropout: float
    nonlinearity: str


class Section(NamedTuple):
    """A part of a table: the input that it announces, and its lines."""

    input: tuple[int, int]
    lines: list[Line]


def read_page(text: str) -> tuple[dict[str, Section], dict[str, float | None]]:
    """Sections and foot of a table, as they stand on the page."""
    sections: dict[str, Section] = {}
    for title, maps, size, body in re.findall(r"(\S+) - (\d+)x(\d+)x\3 input((?:\s+(?:Convolution|Transposed).*)+)", text):
        lines = re.findall(r"(Convolution|Transposed convolution) (\d+)x\2 (\d)x\3 (\d+) (BN|--) (\S+) (.+)", body)
        sections[title] = Section(
            (int(maps), int(size)),
            [Line(OPERATIONS[o], int(k), int(s), int(m), n == "BN", float(d), NONLINEARITIES[f]) for o, k, s, m, n, d, f in lines],
        )
        assert len(lines) == len(body.strip().splitlines()), f"{title}: a line of the transcription was not understood"
    beta2 = re.search(r"beta2=(\S+)", text)
    slope, pieces = re.search(r"slope(?:, maxout pieces)? ([\d.]+)(?:, (\d))?", text).groups()
    alpha, beta1 = re.search(r"Adam alpha=(\S+) beta1=(\S+)", text).groups()
    foot = {
        "alpha": float(alpha),
        "beta1": float(beta1),
        "beta2": float(beta2[1]) if beta2 else None,
        "batch size": int(re.search(r"Batch size (\d+)", text)[1]),
        "epochs": int(re.search(r"Epochs (\d+)", text)[1]),
        "slope": float(slope),
        "pieces": int(pieces) if pieces else None,
        "sigma": float(re.search(r"sigma=([\d.]+)", text)[1]),
    }
    return sections, foot


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_those_of_the_page(name):
    rows, (page, _) = import_module(f"ali.tables.{name}"), read_page(PAGES[name])
    inputs = {"Gz(x)": rows.X[0], "Gx(z)": rows.Z, "D(x)": rows.X[0], "D(z)": rows.Z, "D(x,z)": rows.D_x[-1].maps + rows.D_z[-1].maps}
    assert list(page) == list(SECTIONS)
    found = {}
    for title, section in page.items():
        ours = getattr(rows, SECTIONS[title])
        assert len(ours) == len(section.lines), title
        if inputs[title] != section.input[0]:
            found[title, "input", "maps"] = (section.input[0], inputs[title])
        for number, (line, row) in enumerate(zip(section.lines, ours, strict=True), 1):
            assert row.padding == 0, "the page knows no padding"
            for column, wanted in line._asdict().items():
                if getattr(row, column) != wanted:
                    found[title, number, column] = (wanted, getattr(row, column))
    assert found == {place: values for place, values in DEVIATIONS[name].items() if place[0] != "foot"}


@pytest.mark.parametrize("name", NAMES)
def test_foot_is_that_of_the_page_in_table_and_recipe(name):
    rows, (_, foot) = import_module(f"ali.tables.{name}"), read_page(PAGES[name])
    ours = recipes.defaults(recipes.ali, name, "paper")
    wanted = foot | {place[2]: values[1] for place, values in DEVIATIONS[name].items() if place[0] == "foot"}
    table = (rows.LR, rows.BETA1, rows.BETA2, rows.BATCH_SIZE, rows.EPOCHS, rows.SLOPE, rows.SIGMA)
    assert table == tuple(wanted[key] for key in ("alpha", "beta1", "beta2", "batch size", "epochs", "slope", "sigma"))
    recipe = tuple(ours[key] for key in ("lr", "beta1", "beta2", "batch_size", "epochs"))
    assert recipe == tuple(wanted[key] for key in ("alpha", "beta1", "beta2", "batch size", "epochs"))
    assert foot["pieces"] in (rows.PIECES, None)
    assert (foot["pieces"] is None) == all(row.nonlinearity != "maxout" for row in rows.D_x)
