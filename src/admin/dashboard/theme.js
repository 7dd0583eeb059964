// Light, dark, or as the system has it: set before the first paint, so it is no module. The choice is this browser's.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem('freshet.theme');
  } catch {
    // A browser that keeps nothing shows what the system says.
  }
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
})();
