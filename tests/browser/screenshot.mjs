// The README's picture (scripts/screenshot.sh): a photograph with its regions, its caption and an answer. PHOTO and
// QUESTION may name others.
import { ask, CAT, close, look, open, serve, shot } from "./browser.mjs";

const service = await serve();
try {
  const page = await open(service.url, { viewport: { width: 1200, height: 700 } });
  await look(page, process.env.PHOTO ?? CAT);
  await ask(page, process.env.QUESTION ?? "what animal is this?");
  await page.waitForSelector("[data-state=ready]");
  await page.evaluate(() => {
    document.activeElement.blur();
    scrollTo(0, 0);
  });
  await shot(page, "readme");
  await close();
} finally {
  await service.stop();
}
