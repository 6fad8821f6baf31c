"""Write data/fonts/NotoSansSC-subset.ttf, the Chinese characters of plots: `python data/build/font.py`.

It holds the characters of the corpus, its transcripts, the notebooks and the exercises, and, as a recogniser
may write down any common one, GB 2312's first level (3,755). Needs npm, which fetches Noto Sans SC.
"""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
import tempfile
from pathlib import Path

from fontTools import subset

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "data" / "fonts"
NAME = "Noto Sans SC VCEMO"  # apart from a whole Noto Sans SC that may be installed
PACKAGE = "@expo-google-fonts/noto-sans-sc@0.4.3"
FONT, LICENCE = "package/400Regular/NotoSansSC_400Regular.ttf", "package/LICENSE_FONT"
SHA256 = "d45f67f0a7c0ca3f256950777ce6a61cc7ce5f9696d02900cbbaac25f8aa7d16"
SHOWN = (
    "data/vcemo_sim/*.csv",
    "data/build/vcemo_sim/sentences.tsv",
    "notebooks/*.ipynb",
    "vcemo_lib/**/*.*",
)
UNUSED = ["BASE", "DSIG", "GDEF", "GPOS", "GSUB", "STAT", "vhea", "vmtx"]  # Matplotlib sets text without them


def is_chinese(character: str) -> bool:
    """Whether it is a Chinese character or mark, which Matplotlib's own font lacks."""
    return "\u2e80" <= character <= "\u9fff" or "\uff00" <= character <= "\uffef"


def shown() -> set[str]:
    """The Chinese characters that the course can show from its own files."""
    files = {
        path for pattern in SHOWN for path in ROOT.glob(pattern) if path.suffix != ".pyc" and path.is_file()
    }
    return set(filter(is_chinese, "".join(path.read_text(encoding="utf-8") for path in files)))


def common() -> set[str]:
    """GB 2312's first level: the 3,755 commonest characters of simplified Chinese."""
    codes = [bytes((row, cell)) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF)]
    return set("".join(code.decode("gb2312", errors="ignore") for code in codes))


def fetch(folder: Path) -> Path:
    """The whole font and its licence, from the package index."""
    subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True)
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as package:
        for member in (FONT, LICENCE):
            package.extract(member, folder, filter="data")
    return folder / FONT


def write(font: Path) -> None:
    """Subset the font, give it a name of its own, and put it and its licence in place."""
    if (found := hashlib.sha256(font.read_bytes()).hexdigest()) != SHA256:
        raise SystemExit(f"{font} is not the font of {PACKAGE}: SHA-256 {found}")
    options = subset.Options(
        hinting=False, layout_features=[], notdef_outline=True, name_IDs=[0, 1, 2, 3, 4, 5, 6, 13, 14]
    )
    options.drop_tables += UNUSED
    whole = subset.load_font(str(font), options)
    cut = subset.Subsetter(options)
    cut.populate(text="".join(shown() | common()))
    cut.subset(whole)
    for identity, name in {1: NAME, 3: f"{NAME} subset", 4: NAME, 6: NAME.replace(" ", "")}.items():
        whole["name"].setName(name, identity, 3, 1, 0x409)
    OUT.mkdir(exist_ok=True)
    subset.save_font(whole, str(OUT / "NotoSansSC-subset.ttf"), options)
    (OUT / "OFL.txt").write_bytes((font.parents[1] / "LICENSE_FONT").read_bytes())


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(fetch(Path(folder)))


if __name__ == "__main__":
    main()
