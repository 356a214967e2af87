// For keyboards and screen readers: the search has a name, and what scrolls sideways can be reached. No two menus have
// the same name. An empty corner of a table is no heading.
document$.subscribe(() => {
  document.querySelectorAll(".md-search[role=dialog]").forEach((e) => e.setAttribute("aria-label", "Search"));
  document.querySelectorAll(".md-typeset pre > code, .md-typeset__scrollwrap").forEach((e) => { e.tabIndex = 0; });
  const heard = {};
  document.querySelectorAll("nav").forEach((e) => {
    const label = document.getElementById(e.getAttribute("aria-labelledby") || "");
    const name = e.getAttribute("aria-label") || (label ? label.textContent.trim() : "") || "Code";
    heard[name] = (heard[name] || 0) + 1;
    if (heard[name] > 1 || !label) {
      e.removeAttribute("aria-labelledby");
      e.setAttribute("aria-label", heard[name] > 1 ? `${name} ${heard[name]}` : name);
    }
  });
  document.querySelectorAll(".md-typeset th:empty").forEach((e) => e.replaceWith(document.createElement("td")));
});
