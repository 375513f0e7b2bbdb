/* Passkeys (WebAuthn): asks the gate what to ask, asks the browser, and sends its answer with the page's own form.
   Works on forms with data-passkey="sign-in", "prove" or "add".  Loaded only by pages that have such a form. */
"use strict";

(() => {
  const WORDS = {
    NotAllowedError: "Nothing was sent: it was cancelled, it took too long, or there is no passkey for this gate here.",
    InvalidStateError: "This device has a passkey of yours for this gate already.",
    SecurityError:
      "The browser does not take passkeys at this address. Its connection to the gate must be trusted: ask your gate administrator for the certificate of the gate's authority.",
    NotSupportedError: "This device cannot make the kind of passkey that this gate takes.",
    ConstraintError: "This device cannot check that it is you (with a PIN, a finger, a face), and this gate asks for that.",
    AbortError: "It was cancelled.",
  };
  const isAble =
    typeof window.PublicKeyCredential === "function" &&
    typeof PublicKeyCredential.parseRequestOptionsFromJSON === "function" &&
    typeof PublicKeyCredential.parseCreationOptionsFromJSON === "function";

  async function optionsFor(form) {
    const body = new URLSearchParams({ form_token: form.elements.form_token.value, act: form.dataset.passkey });
    const response = await fetch("/passkey/options", { method: "POST", body, redirect: "error" });
    if (response.status === 401 || response.status === 403) {
      window.location.reload(); // signed out, or this page is too old
      return null;
    }
    if (!response.ok) {
      throw new Error("The gate did not answer as it should. Try again.");
    }
    return response.json();
  }

  async function answerOf(act, options) {
    if (act === "add") {
      return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) });
    }
    return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
  }

  async function send(form, words, button) {
    button.disabled = true;
    words.textContent = "Follow what your browser asks.";
    try {
      const options = await optionsFor(form);
      if (options === null) {
        return;
      }
      const credential = await answerOf(form.dataset.passkey, options);
      form.elements.answer.value = JSON.stringify(credential.toJSON());
      form.submit();
    } catch (error) {
      words.textContent = WORDS[error.name] || (error instanceof TypeError ? "The gate does not answer. Try again." : error.message);
      button.disabled = false;
      button.focus();
    }
  }

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const words = form.querySelector("[role=status]");
    const button = form.querySelector("button");
    if (!isAble) {
      button.disabled = true;
      words.textContent = "This browser cannot use passkeys.";
      continue;
    }
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send(form, words, button);
    });
  }
})();
