"""What axe-core finds on a page as it is now."""

from axe_playwright_python.sync_playwright import Axe

# Of the rules that axe leaves off: what is read as a name is what stands there (WCAG 2.5.3), and targets are large enough (2.5.8).
RULES = {"label-content-name-mismatch": {"enabled": True}, "target-size": {"enabled": True}}


def violations(one):
    """Of any impact."""
    found = Axe().run(one.page, options={"resultTypes": ["violations"], "rules": RULES}).response["violations"]
    return [(each["id"], each["impact"], [node["html"] for node in each["nodes"]]) for each in found]
