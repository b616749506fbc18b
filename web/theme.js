// Before the first paint: light or dark as chosen here before; else as the system says.
{
  let choice = null;
  try {
    choice = localStorage.getItem("minivlm-theme");
  } catch {
    // nothing may be stored: the system decides
  }
  if (choice === "light" || choice === "dark") document.documentElement.dataset.theme = choice;
}
