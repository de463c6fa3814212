"use strict";
// One entry for each group version that has something to show, the core group first.
(async () => {
  const index = await (await fetch("../openapi/v3")).json();
  const urls = Object.entries(index.paths)
    .filter(([name]) => /^(api|apis\/[^/]+)\/v/.test(name))
    .map(([name, { serverRelativeURL }]) => ({ name, url: ".." + serverRelativeURL }));
  window.ui = SwaggerUIBundle({
    urls,
    dom_id: "#swagger-ui",
    deepLinking: true,
    docExpansion: "none",
    defaultModelsExpandDepth: 0,
    filter: true,
    validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    layout: "StandaloneLayout",
  });
})();
