"""The documentation as a site: every link and anchor leads somewhere, and it opens from the disk without a network."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def build(config: Path, out: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", config, "--site-dir", out]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(argv, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="the extra docs is not installed")
    out = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", out)
    assert done.returncode == 0, done.stderr
    return out


def test_a_link_that_leads_nowhere_ends_the_build(site: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("mkdocs.yml", "docs/mirror.py"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    nav = (tmp_path / "mkdocs.yml").read_text().partition("\nnav:")[0]
    (tmp_path / "mkdocs.yml").write_text(nav)
    (tmp_path / "README.md").write_text("# Here\n\n[a page](docs/a.md#there), [itself](#here), [a file](LICENSE)\n")
    (tmp_path / "docs" / "a.md").write_text("# A\n\n## There\n\n[up](../README.md#here)\n")
    (tmp_path / "LICENSE").write_text("")
    assert build(tmp_path / "mkdocs.yml", tmp_path / "out").returncode == 0
    for broken in ("docs/b.md", "docs/a.md#nowhere", "/docs/a.md"):
        (tmp_path / "README.md").write_text(f"# Here\n\n[a page]({broken})\n")
        done = build(tmp_path / "mkdocs.yml", tmp_path / "out")
        assert done.returncode == 1 and "Aborted with 1 warnings in strict mode" in done.stderr + done.stdout


def test_no_page_asks_anybody_for_anything(site: Path, browser: Any) -> None:
    """Nor scrolls sideways on a phone, nor says anything to the console."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    asked: list[str] = []
    said: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    context.on("console", lambda message: said.append(message.text))
    page = context.new_page()
    page.on("pageerror", lambda error: said.append(str(error)))
    pages = [file for file in sorted(site.rglob("*.html")) if file.name != "404.html"]  # which names paths from a root
    for file in pages:
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 390, file.name
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth)"), file.name
    context.close()
    assert len(pages) > 20 and len(asked) > len(pages)
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
    assert not said


@pytest.fixture
def home(site: Path, browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    yield page
    context.close()


def test_search_works_from_the_disk(home: Any) -> None:
    home.get_by_role("textbox", name="Search").click()
    home.keyboard.type("estimator")
    found = home.locator(".md-search-result__link")
    found.first.wait_for(timeout=15000)
    assert "docs/methods/uncertainty.html" in " ".join(link.get_attribute("href") for link in found.all())


def test_links_of_the_readme_lead_to_pages(home: Any) -> None:
    home.locator("article").get_by_role("link", name="docs/studies.md").first.click()
    assert home.url.endswith("docs/studies.html") and home.locator("h1").inner_text().startswith("Studies")
