// The book's part of JupyterLab. It loads looks.css, gives figures their alternative texts, and shows what a cell does
// that was running already when the page was loaded: JupyterLab itself shows nothing of it any more, not even whether it
// runs.
//
// It is written in the form in which JupyterLab loads its extensions, and uses nothing but what JupyterLab hands to it.
(() => {
  const RUNNING = "A cell that was started before this page was loaded is still running. What it shows:";
  const ENDED = "The cell that was running when this page was loaded has ended: run it again to see its result here.";

  const looks = document.createElement("link");
  looks.rel = "stylesheet";
  looks.href = new URL("looks.css", document.currentScript.src).href;
  document.head.append(looks);

  // describe gives figures their descriptions, which JupyterLab keeps in the notebook and does not show.
  function describe(panel) {
    for (const cell of panel.content.widgets ?? [])
      cell.outputArea?.widgets.forEach((output, index) => {
        const image = output.node.querySelector(".jp-RenderedImage img:not([alt])");
        const about = image && cell.outputArea.model.get(index)?.metadata["image/png"]?.alt;
        if (about) image.alt = about;
      });
  }

  // watch shows a card in a notebook as long as there is something to say.
  function watch(app, panel) {
    const card = document.createElement("div"), line = document.createElement("div");
    const close = document.createElement("button");
    close.textContent = "×";
    close.title = "Hide";
    close.style = "float: right; border: none; background: none; color: inherit; cursor: pointer; font-size: 16px";
    close.onclick = () => { card.hidden = true; };
    card.className = "convbook-running jp-RenderedHTMLCommon";
    card.style = "position: absolute; right: 24px; bottom: 12px; z-index: 5; width: min(480px, calc(100% - 48px)); " +
      "max-height: 60%; overflow: auto; padding: 8px 12px; border: 1px solid var(--jp-border-color1); " +
      "background: var(--jp-layout-color1); color: var(--jp-ui-font-color1); box-shadow: var(--jp-elevation-z4)";
    card.hidden = true;
    card.append(close, line);
    panel.node.append(card);
    const shown = new Map(); // what the cell displays, by its ids; the latest of what has none

    const say = text => {
      line.textContent = text;
      card.hidden = false;
    };
    const show = (id, data) => {
      if (!shown.has(id)) {
        shown.set(id, document.createElement("div"));
        card.append(shown.get(id));
      }
      const place = shown.get(id);
      if (data["text/html"] !== undefined) {
        // It may do in the page what its author likes, as what JupyterLab shows of a running cell may. The author is the
        // program of the cell; the library escapes what comes from elsewhere, such as names of classes.
        place.innerHTML = data["text/html"];
      } else if (data["image/png"]) {
        const png = data["image/png"].trim();
        place.innerHTML = `<img style="max-width: 100%; height: auto" src="data:image/png;base64,${png}">`;
      } else {
        place.textContent = data["text/plain"] ?? "";
      }
    };

    panel.sessionContext.iopubMessage.connect((context, {header, parent_header, content}) => {
      if (parent_header.msg_type !== "execute_request") return;
      if (parent_header.session === context.session?.kernel?.clientId) { // this page shows what it has started
        card.hidden = true;
      } else if (header.msg_type === "status" && content.execution_state === "idle") {
        say(ENDED);
      } else if (header.msg_type === "display_data" || header.msg_type === "update_display_data") {
        if (!line.textContent) say(RUNNING);
        show(content.transient?.display_id ?? "", content.data);
      } else if (header.msg_type === "stream") {
        if (!line.textContent) say(RUNNING);
        show("stream", {"text/plain": content.text.trimEnd().split("\n").at(-1)});
      }
    });
    panel.sessionContext.ready.then(async () => {
      await app.serviceManager.kernels.refreshRunning();
      const id = panel.sessionContext.session?.kernel?.id;
      for (const kernel of app.serviceManager.kernels.running())
        if (kernel.id === id && kernel.execution_state === "busy" && !line.textContent) say(RUNNING);
    });
  }

  const plugin = {
    id: "convbook:running",
    autoStart: true,
    activate: app => {
      const watched = new WeakSet();
      const look = () => {
        for (const panel of app.shell.widgets("main"))
          if (panel.sessionContext && !watched.has(panel)) {
            watched.add(panel);
            new MutationObserver(() => describe(panel)).observe(panel.node, {childList: true, subtree: true});
            watch(app, panel);
          }
      };
      app.shell.layoutModified.connect(look);
      app.shell.currentChanged?.connect(look);
      app.restored.then(look);
    },
  };
  window._JUPYTERLAB ??= {};
  window._JUPYTERLAB.convbook = {init() {}, get: async () => () => plugin};
})();
