/* Conveniences only: every page does its work without this file. */
"use strict";
(() => {
  const root = document.documentElement;
  const themes = ["auto", "light", "dark"];
  const read = () => { try { return localStorage.getItem("theme") || "auto"; } catch { return "auto"; } };
  const show = (theme) => {
    theme === "auto" ? root.removeAttribute("data-theme") : root.setAttribute("data-theme", theme);
    document.querySelectorAll("[data-theme-switch] span").forEach((text) => { text.textContent = `Theme: ${theme}`; });
  };
  root.classList.add("js");
  show(read());
  document.addEventListener("DOMContentLoaded", () => show(read()));

  const say = (text) => {
    let voice = document.getElementById("voice");
    if (!voice) {
      voice = Object.assign(document.createElement("p"), { id: "voice", className: "sr-only" });
      voice.setAttribute("role", "status");
      document.body.append(voice);
    }
    voice.textContent = text;
  };

  const copy = async (button) => {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.setAttribute("data-done", "");
      button.querySelector("use").setAttribute("href", "#i-check");
      say("Copied");
    } catch {
      const text = button.parentElement.querySelector("code");
      if (text) getSelection().selectAllChildren(text);
      say("Selected; copy it with the keyboard");
    }
    setTimeout(() => { button.removeAttribute("data-done"); button.querySelector("use").setAttribute("href", "#i-copy"); }, 1600);
  };

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-copy], [data-close], [data-theme-switch]");
    if (target?.hasAttribute("data-copy")) copy(target);
    if (target?.hasAttribute("data-close")) { target.parentElement.remove(); document.getElementById("main")?.focus(); }
    if (target?.hasAttribute("data-theme-switch")) {
      const next = themes[(themes.indexOf(read()) + 1) % themes.length];
      try { localStorage.setItem("theme", next); } catch { /* Private windows may refuse; the page still changes. */ }
      show(next);
    }
    document.querySelectorAll("details.facet[open], details.menu[open]").forEach((box) => {
      if (!box.contains(event.target)) box.open = false;
    });
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const box = event.target.closest("details.facet[open], details.menu[open]");
      if (box) { box.open = false; box.querySelector("summary").focus(); }
    }
    /* Letters move only while the queue itself has the focus, so they never take a key from an assistive tool. */
    const queue = event.target.closest("[data-rows]");
    if (queue && (event.key === "j" || event.key === "k") && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const rows = [...queue.querySelectorAll(".row-title")];
      const now = rows.findIndex((row) => row.closest("tr").contains(document.activeElement));
      rows[Math.min(rows.length - 1, Math.max(0, now + (event.key === "j" ? 1 : -1)))]?.focus();
    }
  });

  /* A passkey that was not given leaves the page silent; say what happened and what to do. */
  document.addEventListener("allauth.error", (event) => {
    event.preventDefault();
    const box = document.getElementById("passkey-error");
    if (box) { box.hidden = false; box.focus(); }
  });
})();
