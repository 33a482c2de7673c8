"""The sample data: one company, its two mailboxes, its Salesforce org, and what must come of every mail and event.

`org.toml` (company, people, records), `mails.toml` (mails and where they lie), `events.toml` (events of both sides) and the
expected outcomes, written by hand (`manifest.csv` of mails, `events.csv` of events), are the data; the modules beside them only
put them where they belong.
"""

from sandbox.sample.event_manifest import ExpectedEvent, events_as_json, expected_events
from sandbox.sample.loading import Sample, User, load
from sandbox.sample.manifest import Expected, as_json, expected

__all__ = ["Expected", "ExpectedEvent", "Sample", "User", "as_json", "events_as_json", "expected", "expected_events", "load"]
