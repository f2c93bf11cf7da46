"""Writes docs/site.png: the start page of a site of public scores, as Chromium shows it (needs
Korean fonts).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

OUT = Path(__file__).parent.parent / "docs" / "site.png"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


def main() -> None:
    from playwright.sync_api import sync_playwright

    from kemb.publishing.site.build import SiteOptions, publish_site

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = publish_site(
            Path(folder) / "site", SiteOptions(Path(folder) / "results", ("mteb-kor-v2", "kure"))
        )
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=FLAGS.split()
        )
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.goto(site.start_page.as_uri())
        page.wait_for_selector("#controls:not([hidden])")
        page.screenshot(path=OUT)
        browser.close()
    print(OUT)


if __name__ == "__main__":
    main()
