/* Held operations: follows what the gate says of them, and counts their seconds.  Loaded only by pages that show some.
   What is marked data-follow asks that address every two seconds and takes the element of the same id from the answer. */
"use strict";

(() => {
  const EVERY_MS = 2000;
  const WARNED_S = [60, 30, 10];
  const say = document.getElementById("say");
  const told = new Set();

  const inWords = (seconds) => {
    const left = Math.max(0, seconds);
    return left >= 60 ? `${Math.floor(left / 60)} min ${left % 60} s` : `${left} s`;
  };

  /* Each count runs down from when it was read, so that a page that was hidden shows the right one again. */
  function begin(root) {
    for (const place of root.querySelectorAll("[data-left]")) {
      place.dataset.ends = String(performance.now() + Number(place.dataset.left) * 1000);
    }
  }

  function count() {
    for (const place of document.querySelectorAll("[data-ends]")) {
      const left = Math.max(0, Math.ceil((Number(place.dataset.ends) - performance.now()) / 1000));
      const text = inWords(left);
      if (place.textContent !== text) {
        place.textContent = text;
      }
      const bar = place.closest(".state")?.querySelector("progress");
      if (bar) {
        bar.value = left;
      }
      if (say && WARNED_S.includes(left) && !told.has(left)) {
        told.add(left);
        say.textContent = `${text} left`;
      }
    }
  }

  /* Counts and times aside: is it the same? */
  const gist = (element) => {
    const copy = element.cloneNode(true);
    for (const place of copy.querySelectorAll("[data-left]")) {
      place.replaceWith("…");
    }
    for (const bar of copy.querySelectorAll("progress")) {
      bar.remove();
    }
    return copy.textContent.replace(/\s+/g, " ");
  };

  function takeList(place, answer) {
    const fresh = answer.getElementById(place.id);
    if (fresh === null) {
      return;
    }
    const isSame = gist(fresh) === gist(place);
    document.title = answer.title;
    if (!isSame) {
      const at = place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      place.replaceChildren(...fresh.childNodes);
      begin(place);
      if (at !== null) {
        const again = [...place.querySelectorAll("a")].find((link) => link.getAttribute("href") === at);
        (again || document.getElementById("main")).focus();
      }
    } else {
      const now = fresh.querySelectorAll("[data-left]");
      place.querySelectorAll("[data-left]").forEach((each, index) => {
        each.dataset.left = now[index].dataset.left;
      });
      begin(place);
    }
    const count = document.getElementById("count"), now = answer.getElementById("count");
    if (count && now && count.textContent !== now.textContent) {
      count.replaceChildren(...now.childNodes);
    }
  }

  function takeState(place, answer) {
    const fresh = answer.getElementById("state"), old = document.getElementById("state");
    if (fresh === null) {
      return;
    }
    if (fresh.dataset.state !== old.dataset.state) {
      window.location.reload(); // decided or over: the page says how
      return;
    }
    old.replaceWith(fresh);
    begin(place);
  }

  async function follow(place) {
    try {
      const response = await fetch(place.dataset.follow, { redirect: "manual", cache: "no-store" });
      if (response.type === "opaqueredirect" || response.status === 404) {
        window.location.reload(); // signed out, or it is nothing to this person any more
        return;
      }
      if (response.ok) {
        const answer = new DOMParser().parseFromString(await response.text(), "text/html");
        (place.id === "follow" ? takeState : takeList)(place, answer);
      }
    } catch (error) {
      if (!(error instanceof TypeError)) {
        throw error;
      } // the gate does not answer: the counts go on, and it is asked again
    }
    window.setTimeout(follow, EVERY_MS, place);
  }

  begin(document);
  window.setInterval(count, 250);
  for (const place of document.querySelectorAll("[data-follow]")) {
    place.hidden = false;
    window.setTimeout(follow, EVERY_MS, place);
  }
})();
