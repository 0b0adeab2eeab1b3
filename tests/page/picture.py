"""Make the picture of the page that the README shows: picture.py PAGE.html PICTURE.png."""

import io
import sys
from pathlib import Path

from fixtures_browser import Browser
from PIL import Image

WIDTH, HEIGHT = 1180, 1055
PREPARE = """
cards.filter((card) => ['orale_mosaic_seed42_0000', 'loop_compus'].includes(card.dataset.title)).forEach(star);
document.getElementById('starred-only').click();
document.getElementById('sort').value = 'seconds';
sort();
choose(list.children[0]);
one(current, '.seek').value = 0.31 * length(current);
one(current, '.seek').dispatchEvent(new Event('input'));
await new Promise((done) => setTimeout(done, 1000));
"""


def main(page: Path, target: Path) -> None:
    browser = Browser()
    browser.open(page, WIDTH, HEIGHT)
    browser.js(PREPARE)
    shot = Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())).convert("RGB")
    shot.quantize(method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(target, optimize=True)
    browser.driver.quit()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
