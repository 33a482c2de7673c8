// What scenes have in common: ways through the page, by the names a person (or a screen reader) reads.

export const mailRow = (page, subject) =>
  page
    .getByRole("region", { name: "Mails" })
    .or(page.locator("#mails"))
    .getByRole("button")
    .filter({ hasText: subject })
    .first();

/** Opens a mail by searching its subject. */
export async function openMail(page, subject) {
  await page.getByRole("searchbox", { name: "Search mails by subject or sender" }).fill(subject);
  await mailRow(page, subject).click();
  await page.getByRole("article", { name: "Mail shown" }).getByRole("heading", { name: subject, exact: true }).waitFor();
}

/** Opens a folder by the words of its path. */
export async function openFolder(page, words, name) {
  await page.getByRole("searchbox", { name: "Filter folders" }).fill(words);
  await page
    .getByRole("treeitem", { name: new RegExp(`^${name} ?,`) })
    .first()
    .click();
  await page.getByRole("heading", { name, exact: true, level: 2 }).waitFor();
}

export const beside = (page) => page.getByRole("complementary", { name: "In Salesforce" });

export const isIn = (page) => beside(page).getByRole("heading", { name: "In Salesforce", exact: true }).waitFor();
export const isNotIn = (page) => beside(page).getByRole("heading", { name: "Not in Salesforce", exact: true }).waitFor();

export async function openKind(page, kind) {
  await page.getByRole("link", { name: "Salesforce", exact: true }).click();
  await page.getByRole("group", { name: "Kind of record" }).getByRole("button", { name: kind }).click();
}

export const eventRow = (page, subject) => page.locator("#agenda").getByRole("button").filter({ hasText: subject }).first();

export async function openEvent(page, subject) {
  await page.getByRole("link", { name: "Calendar", exact: true }).click();
  await eventRow(page, subject).click();
  await page.getByRole("article", { name: "Event shown" }).getByRole("heading", { name: subject }).waitFor();
}

export const besideEvent = (page) => page.getByRole("complementary", { name: "The event in Salesforce" });

/** The org's events with this subject. */
export async function eventsWith(user, subject) {
  const fields = "Id, Subject, StartDateTime, Location, ShowAs, Description, WhoId";
  const text = `SELECT ${fields} FROM Event WHERE Subject = '${subject}' AND IsChild = false`;
  return (await user.salesforce(`/query?q=${encodeURIComponent(text)}`)).records;
}

/** The events of a calendar with this subject. */
export async function calendarWith(user, subject) {
  const filter = encodeURIComponent(`subject eq '${subject}'`);
  return (await user.graph(`/events?$filter=${filter}`)).value;
}

/** The org's records of a mail. */
export async function recordsOf(user, messageId) {
  const quoted = messageId.replace(/'/g, "\\'");
  const text = `SELECT Id, Subject, RelatedToId FROM EmailMessage WHERE MessageIdentifier = '${quoted}'`;
  return (await user.salesforce(`/query?q=${encodeURIComponent(text)}`)).records;
}

/** The mails of a mailbox with this subject. */
export async function mailsWith(user, subject, fields = "subject,categories,parentFolderId,internetMessageId,isRead") {
  const filter = encodeURIComponent(`subject eq '${subject.replaceAll("'", "''")}'`);
  return (await user.graph(`/messages?$select=${fields}&$filter=${filter}`)).value;
}

/** A raw mail as the outside world sends it. */
export const letter = (
  subject,
  {
    from = "Ann Reyes <ann.reyes@northpier.example>",
    to = "olivia.brandt@harbourline.example",
    type = "text/plain",
    body = "Good day.",
  } = {},
) =>
  [
    `From: ${from}`,
    `To: ${to}`,
    `Subject: ${subject}`,
    `Message-ID: <${crypto.randomUUID()}@mail.outside.example>`,
    `Date: ${new Date().toUTCString()}`,
    "MIME-Version: 1.0",
    `Content-Type: ${type}; charset=utf-8`,
    "",
    body,
    "",
  ].join("\r\n");
