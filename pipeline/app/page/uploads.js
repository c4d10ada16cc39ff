// Clips on their way to the server, one after the other: by a file field, or dropped on the page.
"use strict";

(() => {
  const app = (window.skelact ??= {});
  const { byId, element } = app;

  class Uploads {
    constructor(onUploaded) {
      this.onUploaded = onUploaded;
      this.waiting = [];
      this.isSending = false;
      this.maxBytes = Infinity;
    }

    add(files) {
      for (const file of files) {
        const upload = this.line(file);
        if (file.size > this.maxBytes) upload.say(`It has ${size(file.size)}; the app takes at most ${size(this.maxBytes)}.`);
        else this.waiting.push(upload);
      }
      this.sendNext();
    }

    line(file) {
      const state = element("span", { class: "job-state quiet", role: "status" }, "waits");
      const bar = element("progress", { max: "1", value: "0", "aria-label": `Upload of ${file.name}` });
      const remove = element("button", { type: "button" }, "Cancel");
      const line = element("li", { class: "job" }, element("span", { class: "job-name" }, file.name), state, bar, element("div", { class: "buttons" }, remove));
      const upload = { file, request: null, isCancelled: false };
      upload.progress = (share) => {
        bar.value = share;
        state.textContent = share < 1 ? `${Math.floor(100 * share)} %` : "is looked at";
      };
      upload.say = (reason) => {
        state.textContent = reason;
        bar.hidden = true;
        remove.textContent = "Remove";
      };
      upload.end = () => {
        line.remove();
        byId("uploads-section").hidden = !byId("uploads").children.length;
      };
      remove.addEventListener("click", () => {
        upload.isCancelled = true;
        upload.request?.abort();
        upload.end();
      });
      byId("uploads").append(line);
      byId("uploads-section").hidden = false;
      return upload;
    }

    async sendNext() {
      if (this.isSending) return;
      this.isSending = true;
      while (this.waiting.length) {
        const upload = this.waiting.shift();
        if (upload.isCancelled) continue;
        try {
          await send(upload);
          upload.end();
          this.onUploaded();
        } catch (error) {
          upload.say(error.message);
        }
      }
      this.isSending = false;
    }
  }

  // fetch tells nothing of how far an upload is.
  function send(upload) {
    return new Promise((resolve, reject) => {
      const request = (upload.request = new XMLHttpRequest());
      request.open("PUT", `/api/jobs?name=${encodeURIComponent(upload.file.name.toWellFormed?.() ?? upload.file.name)}`);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.upload.addEventListener("progress", ({ loaded, total }) => upload.progress(total ? loaded / total : 1));
      request.addEventListener("load", () => {
        if (request.status === 201) resolve();
        else reject(new Error(app.reason(request.responseText)));
      });
      request.addEventListener("error", () => reject(new Error("The upload broke off.")));
      request.addEventListener("abort", () => reject(new Error("The upload was cancelled.")));
      request.send(upload.file);
    });
  }

  const size = (bytes) => (bytes >= 1e8 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`);

  function listen(uploads) {
    const drop = byId("drop");
    byId("files").addEventListener("change", ({ target }) => {
      uploads.add([...target.files]);
      target.value = "";
    });
    // Anywhere on the page: a browser would open what is dropped beside the field.
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      drop.classList.add("is-over");
    });
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) drop.classList.remove("is-over");
    });
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("is-over");
      uploads.add([...event.dataTransfer.files]);
    });
  }

  app.openUploads = (onUploaded) => {
    const uploads = new Uploads(onUploaded);
    listen(uploads);
    return {
      limit(maxBytes) {
        uploads.maxBytes = maxBytes;
        byId("limit").textContent = `At most ${size(maxBytes)} each. They stay on the machine that runs the app.`;
      },
    };
  };
})();
