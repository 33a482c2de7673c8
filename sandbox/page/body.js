/**
 * The body of a mail in a frame of its own.
 *
 * Rules that hold here: nothing of a mail ever runs or is fetched. The frame has no right to scripts or forms, and what could
 * ask for them or for anything outside is taken out before, so that reading a mail tells its sender nothing; pictures of the
 * mail itself are shown, others are counted. Links open in a new window that knows nothing of this page.
 * Source: HTML standard, "iframe: sandbox".
 */
import { h } from "./dom.js";

const TAKEN_OUT =
  "script,noscript,iframe,frame,frameset,object,embed,applet,link,meta,base,form," +
  "input,button,select,textarea,video,audio,source,track,svg,math,template,portal,dialog";
const KEPT_LINKS = /^(https?:|mailto:)/i;
const FETCHING = /url\s*\(|@import|image-set\s*\(/i;
const STYLE =
  "html{color-scheme:light;background:#fff}body{margin:14px;font:15px/1.5 system-ui,sans-serif;color:#1d2427;" +
  "overflow-wrap:anywhere}img{max-width:100%;height:auto}pre{white-space:pre-wrap;font:inherit}table{max-width:100%}";

/** {html, blocked}: the body as it may be shown; `pictures`: {content id: data address}. */
export function harmless(html, pictures = {}) {
  // a base address counts from the moment it is read, so it is made a meta element, which is taken out
  const read = new DOMParser().parseFromString(html.replace(/<base\b/gi, "<meta"), "text/html");
  let blocked = 0;
  for (const node of read.querySelectorAll(TAKEN_OUT)) node.remove();
  for (const style of read.querySelectorAll("style")) if (FETCHING.test(style.textContent)) style.remove();
  for (const node of read.querySelectorAll("*"))
    for (const { name, value } of [...node.attributes]) {
      if (
        /^(src|srcset|href|xlink:href|background|poster|ping|action|formaction|data|target)$/i.test(name) ||
        name.startsWith("on") ||
        (name === "style" && FETCHING.test(value))
      )
        node.removeAttribute(name);
      if (node.localName === "a" && name === "href" && KEPT_LINKS.test(value.trim())) safeLink(node, value.trim());
      if (node.localName === "img" && name === "src") blocked += showPicture(node, value.trim(), pictures);
    }
  return { html: `<!doctype html><style>${STYLE}</style>${styles(read)}${read.body.innerHTML}`, blocked };
}

const styles = (read) => [...read.head.querySelectorAll("style")].map((style) => style.outerHTML).join("");

function safeLink(node, address) {
  for (const [name, value] of Object.entries({ href: address, target: "_blank", rel: "noopener noreferrer" }))
    node.setAttribute(name, value);
}

/** Answers 1 where the picture is not shown. */
function showPicture(node, address, pictures) {
  const own = address.startsWith("cid:")
    ? pictures[decodeURIComponent(address.slice(4))]
    : /^data:image\/(png|jpeg|gif|webp);/i.test(address) && address;
  if (own) node.setAttribute("src", own);
  else if (!node.getAttribute("alt")) node.setAttribute("alt", "[picture]");
  return own ? 0 : 1;
}

/** The frame with a body in it, as high as what it shows. */
export function frame(html) {
  const node = h("iframe", {
    class: "paper",
    title: "Text of the mail",
    sandbox: "allow-same-origin allow-popups allow-popups-to-escape-sandbox",
    srcdoc: html,
  });
  const fit = () => {
    const shown = node.contentDocument?.body;
    if (shown) node.style.height = `${Math.max(120, shown.scrollHeight + 30)}px`;
  };
  node.addEventListener("load", () => {
    fit();
    new ResizeObserver(fit).observe(node);
  });
  return node;
}
