"""torchaudio works whatever torch it meets, and whoever imports it first."""

import importlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

from vcemo_lib import _torchaudio


def run_python(code: str, **env: str) -> str:
    """Run `code` in a fresh interpreter; gives what it printed last."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        capture_output=True, text=True, encoding="utf-8", env={**os.environ, **env},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("fault", "cuda", "folder"),
    [(None, None, "lib"), (OSError, None, "_extension"), (OSError, "13.0", "lib")],
)
def test_an_extension_that_fails_is_left_out_beside_a_torch_without_cuda(fault, cuda, folder):
    utils = loader(fault, cuda)
    _torchaudio.leave_out(utils)
    assert utils._LIB_DIR == Path("torchaudio") / folder


def test_any_other_fault_is_not_hidden():
    with pytest.raises(RuntimeError):
        _torchaudio.leave_out(loader(RuntimeError))


def loader(fault: type[Exception] | None, cuda: str | None = None) -> SimpleNamespace:
    """A stand-in for torchaudio._extension.utils, whose extension fails in this way."""

    def load(name: str) -> None:
        assert name == "_torchaudio"
        if fault:
            raise fault("libc10_cuda.so: cannot open shared object file: No such file or directory")

    torch = SimpleNamespace(version=SimpleNamespace(cuda=cuda))
    return SimpleNamespace(_load_lib=load, _LIB_DIR=Path("torchaudio/lib"), torch=torch)


def test_hook_is_set_once_and_answers_for_one_module_only():
    importlib.reload(_torchaudio)
    finders = [finder for finder in sys.meta_path if getattr(finder, "__name__", "") == "_Finder"]
    assert len(finders) == 1
    assert finders[0].find_spec("torchaudio") is None
    assert finders[0].find_spec("torch._extension.utils") is None


def test_import_of_the_library_loads_nothing_heavy_and_sets_the_hook():
    assert (
        run_python("""
        import sys, vcemo_lib
        heavy = {"torch", "numpy", "pandas", "librosa", "spacy", "transformers", "whisper", "matplotlib"}
        print(sorted(heavy & set(sys.modules)), sys.meta_path[0].__name__)
    """)
        == "[] _Finder"
    )


def test_mel_spectrogram_of_torchaudio_is_librosas():
    difference = run_python("""
        import vcemo_lib
        import librosa, numpy as np, torch, torchaudio
        tone = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000).astype(np.float32)
        sizes = dict(n_fft=512, win_length=400, hop_length=160, n_mels=64)
        ours = torchaudio.transforms.MelSpectrogram(
            16_000, mel_scale="slaney", norm="slaney", pad_mode="reflect",
            **sizes)(torch.from_numpy(tone)).numpy()
        theirs = librosa.feature.melspectrogram(y=tone, sr=16_000, pad_mode="reflect", **sizes)
        assert ours.shape == theirs.shape == (64, 101) and theirs.max() > 1
        print(float(np.abs(ours - theirs).max() / theirs.max()))
    """)
    assert float(difference) < 1e-4


def test_transformers_imports_bert():
    assert (
        run_python("import vcemo_lib; from transformers import BertModel; print(BertModel.__name__)")
        == "BertModel"
    )


def test_installed_hook_serves_scripts_that_never_import_the_library(tmp_path):
    written = _torchaudio.install(str(tmp_path))
    assert os.path.basename(written) == _torchaudio.PTH_NAME
    # -S and then addsitedir: this folder's .pth is the only one that Python reads
    assert (
        run_python(f"""
        import site, sys, sysconfig
        sys.meta_path[:] = [f for f in sys.meta_path if getattr(f, "__name__", "") != "_Finder"]
        for name in [name for name in sys.modules if name.startswith("vcemo_lib")]:
            del sys.modules[name]
        sys.path.append({str(os.path.dirname(os.path.dirname(_torchaudio.__file__)))!r})
        site.addsitedir({str(tmp_path)!r})
        import torchaudio
        from transformers import BertModel
        print(torchaudio.functional.__name__, sys.meta_path[0].__name__)
    """)
        == "torchaudio.functional _Finder"
    )


def test_installed_hook_is_silent_when_the_library_is_gone(tmp_path):
    _torchaudio.install(str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import site; site.addsitedir({str(tmp_path)!r}); print('started')"],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("started", "")
