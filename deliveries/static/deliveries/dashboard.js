/* Refreshes the dashboard every second while something runs, and shows the pages that ask as dialogs.
   It holds no figures and decides nothing: without it every page and button works by itself. */
(() => {
  "use strict";
  const PARTS = ["dm-tabs", "dm-actions", "dm-banners", "dm-facts", "dm-dates", "dm-deployment"];
  const shown = new Map();
  let wait = 1000;

  const read = (html) => new DOMParser().parseFromString(html, "text/html");

  function replace(id, fresh) {
    const old = document.getElementById(id);
    if (!old || !fresh || (shown.get(id) ?? old.outerHTML) === fresh.outerHTML) return;
    shown.set(id, fresh.outerHTML);
    const focused = old.contains(document.activeElement) ? document.activeElement.id || "dm-deployment-title" : "";
    old.replaceWith(document.adoptNode(fresh));
    if (focused) (document.getElementById(focused) ?? document.getElementById("dm-deployment-title"))?.focus();
  }

  function say(text) {
    const voice = document.getElementById("dm-say");
    if (voice && text && voice.textContent !== text) voice.textContent = text;
  }

  async function refresh() {
    const next = document.getElementById("dm-deployment")?.dataset.next;
    if (!next) return;
    if (document.hidden) return void setTimeout(refresh, 1000);
    const lost = document.getElementById("dm-lost");
    try {
      const answer = await fetch(next, { redirect: "manual", cache: "no-store" });
      if (answer.type === "opaqueredirect") return void location.reload(); // logged out meanwhile
      if (!answer.ok) throw new Error(String(answer.status));
      const page = read(await answer.text());
      const deployment = page.getElementById("dm-deployment");
      say(deployment?.dataset.say);
      PARTS.forEach((id) => replace(id, page.getElementById(id)));
      if (lost) lost.hidden = true;
      wait = 1000;
    } catch {
      if (lost) lost.hidden = false;
      wait = Math.min(wait * 2, 15000);
    }
    setTimeout(refresh, wait);
  }

  async function ask(link) {
    const dialog = document.getElementById("dm-dialog");
    const url = new URL(link.href);
    // What the page showed when it was loaded: the link may be newer, the content above it is not.
    if (url.searchParams.has("seen")) url.searchParams.set("seen", document.querySelector("#dm-acts [name=seen]")?.value ?? "");
    const answer = await fetch(url, { redirect: "error", cache: "no-store" });
    const part = answer.ok && read(await answer.text()).getElementById("dm-ask");
    if (!dialog || !part) throw new Error("no question");
    const close = document.createElement("button");
    close.type = "button";
    close.className = "dm-close";
    close.setAttribute("aria-label", "Close");
    close.dataset.cancel = "";
    close.textContent = "\u00d7";
    dialog.replaceChildren(document.adoptNode(part), close);
    dialog.showModal();
  }

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-asks], #dm-dialog [data-cancel]");
    if (!target || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (target.dataset.asks === undefined) return void document.getElementById("dm-dialog").close();
    ask(target).catch(() => location.assign(target.href)); // the page itself says what is the matter
  });

  document.addEventListener("submit", (event) => {
    if (event.target.method === "get") return;
    if (event.target.dataset.sent) event.preventDefault(); // a double click; the server would refuse it anyway
    event.target.dataset.sent = "yes";
  });
  window.addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));

  setTimeout(refresh, wait);
})();
