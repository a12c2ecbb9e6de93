"""Bundles that say who made them: signed by a key of minisign, checked by edgekd, predict.py and minisign itself."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekd import signing
from edgekd.errors import EdgekdError
from tests.conftest import Ran

minisign = pytest.importorskip("minisign")
Edgekd = Callable[..., tuple[int, str, str]]


def keys(folder: Path, password: str = "") -> Path:
    """A pair of keys: minisign.key and minisign.pub."""
    pair = minisign.KeyPair.generate()
    if password:
        pair.secret_key.encrypt(password, opslimit=32768, memlimit=16_777_216)
    (folder / "minisign.key").write_bytes(bytes(pair.secret_key))
    (folder / "minisign.pub").write_bytes(bytes(pair.public_key))
    return folder / "minisign.pub"


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return keys(tmp_path_factory.mktemp("keys"), password="long and secret")


@pytest.fixture(scope="module")
def signed(ran: Ran, public: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from edgekd import bundle

    key = public.with_suffix(".key")
    return bundle.bundle(
        ran.folder / "onnx_int8", tmp_path_factory.mktemp("out"), key=key, password=lambda: "long and secret"
    )


@pytest.fixture
def copied(signed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(signed, tmp_path / "copied")


def predict(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-P", folder / "predict.py", *arguments], capture_output=True, text=True)


def test_a_signed_bundle_answers_and_is_what_its_maker_made(copied: Path, public: Path, edgekd: Edgekd) -> None:
    done = predict(copied, "a cat", "--key", str(public))
    assert not done.returncode and '"label"' in done.stdout, done.stderr
    assert predict(copied, "--selftest", "--key", public.read_text().splitlines()[1]).stdout.startswith(
        "selftest passed"
    )
    code, out, _ = edgekd("verify", copied, "--key", public)
    assert not code and f"{copied}: signed as 'edgekd bundle small-onnx_int8'\n1 artifacts" in out
    if shutil.which("minisign"):  # the first of its kind agrees, and so does sha256sum
        subprocess.run(["minisign", "-Vm", "SHA256SUMS", "-p", public], cwd=copied, check=True, capture_output=True)
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=copied, check=True)


def _changed(bundle: Path) -> None:
    code = bundle / "edgekd" / "asking.py"
    code.write_text(code.read_text() + "\n# another line\n")


def _changed_with_its_digest(bundle: Path) -> None:
    _changed(bundle)
    signing.record(bundle)


def _added(bundle: Path) -> None:
    (bundle / "numpy").mkdir()
    (bundle / "numpy" / "__init__.py").write_text("raise SystemExit('this ran')")


def _removed(bundle: Path) -> None:
    (bundle / "requirements.txt").unlink()


def _unsigned(bundle: Path) -> None:
    (bundle / signing.SIGNATURE).unlink()


def _other_comment(bundle: Path) -> None:
    file = bundle / signing.SIGNATURE
    file.write_bytes(file.read_bytes().replace(b"small-onnx_int8", b"large-onnx_int8"))


def _no_signature(bundle: Path) -> None:
    (bundle / signing.SIGNATURE).write_bytes(b"\xff\x00 no signature")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_changed, "asking.py is not the file that is in SHA256SUMS"),
        (_changed_with_its_digest, "was not signed by"),
        (_added, "__init__.py is not in SHA256SUMS"),
        (_removed, "requirements.txt is missing"),
        (_unsigned, "is not signed: it has no SHA256SUMS.minisig"),
        (_other_comment, "was not signed by"),
        (_no_signature, "was not signed by"),
    ],
)
def test_what_was_changed_is_refused(
    copied: Path, public: Path, edgekd: Edgekd, change: Callable[[Path], None], told: str
) -> None:
    change(copied)
    done = predict(copied, "a cat", "--key", str(public))
    assert done.returncode == 1 and told in done.stderr and not done.stdout, done.stderr
    assert "Traceback" not in done.stderr and "this ran" not in done.stderr
    code, out, err = edgekd("verify", copied, "--key", public)
    assert code == 1 and told in out + err


def test_another_key_and_what_is_none(copied: Path, tmp_path: Path, edgekd: Edgekd) -> None:
    other = keys(tmp_path)
    for key, told in ((other, "was not signed by"), ("RWnothing", "is no public key of minisign")):
        code, _, err = edgekd("verify", copied, "--key", key)
        assert code == 1 and told in err
    assert edgekd("verify", "--key", other)[0] == 1


def test_the_key_is_asked_for_its_password(
    ran: Ran, public: Path, tmp_path: Path, edgekd: Edgekd, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, step = public.with_suffix(".key"), ran.folder / "onnx_int8"
    monkeypatch.setenv("EDGEKD_SIGN_PASSWORD", "another")
    code, _, err = edgekd("bundle", step, "--out", tmp_path, "--sign", key)
    assert code == 1 and "does not sign" in err and "another" not in err and not list(tmp_path.iterdir())
    monkeypatch.setenv("EDGEKD_SIGN_PASSWORD", "long and secret")
    assert edgekd("bundle", step, "--out", tmp_path, "--sign", key)[0] == 0
    assert signing.check_signature(tmp_path / "small-onnx_int8", str(public)) == "edgekd bundle small-onnx_int8"
    code, _, err = edgekd("bundle", step, "--out", tmp_path, "--sign", public)
    assert code == 1 and "does not sign" in err


def test_a_damaged_bundle_is_found_without_a_key(copied: Path, edgekd: Edgekd) -> None:
    assert edgekd("verify", copied)[0] == 0
    _changed(copied)
    code, out, _ = edgekd("verify", copied)
    assert code == 1 and "asking.py" in out
    assert predict(copied, "--selftest").returncode == 1


def test_without_the_library_it_says_what_to_install(
    copied: Path, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "minisign", None)
    with pytest.raises(EdgekdError) as caught:
        signing.check_signature(copied, str(public))
    assert caught.value.hint == "pip install py-minisign"
