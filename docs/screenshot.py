"""Pictures of a report.html at two widths, light and dark: docs/screenshot.py REPORT OUT_FOLDER [HEIGHT]."""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTHS = {"desktop": 1280, "phone": 390}


def main(report: Path, out: Path, height: int) -> None:
    """HEIGHT is in pixels from the top; 0: the whole page."""
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = own if Path(own).is_file() else shutil.which("chromium-headless-shell") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        for name, width in WIDTHS.items():
            for scheme in ("light", "dark"):
                page = browser.new_page(viewport={"width": width, "height": height or 900}, color_scheme=scheme)
                page.goto(report.absolute().as_uri())
                page.screenshot(path=out / f"report_{name}_{scheme}.png", full_page=not height)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
