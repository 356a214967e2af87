// For keyboards and screen readers: the search has a name, and what scrolls sideways can be reached.
document$.subscribe(() => {
  document.querySelectorAll(".md-search[role=dialog]").forEach((e) => e.setAttribute("aria-label", "Search"));
  document.querySelectorAll(".md-typeset pre > code, .md-typeset__scrollwrap").forEach((e) => { e.tabIndex = 0; });
});
