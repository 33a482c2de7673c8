"""The sample data: one company, its two mailboxes, its Salesforce org, and what must come of every mail.

`org.toml` (company, people, records), `mails.toml` (mails and where they lie) and `manifest.csv` (the expected outcome,
written by hand) are the data; the modules beside them only put them where they belong.
"""

from sandbox.sample.loading import Sample, User, load
from sandbox.sample.manifest import Expected, as_json, expected

__all__ = ["Expected", "Sample", "User", "as_json", "expected", "load"]
