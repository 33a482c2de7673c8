/**
 * The kinds of Salesforce records that the page shows: what a list has in its columns, where a search looks, which fields a
 * person edits. Labels, types, lengths and choices come from the org's own describe.
 * Source: Object Reference; REST API, "sObject Describe".
 */

/**
 * columns: [field path, heading]; search: text fields; fields: what the form has; preset: set on create, with what is
 * fixed.
 */
export const KINDS = {
  Account: {
    plural: "Accounts",
    one: "account",
    title: "Name",
    order: "Name",
    columns: [
      ["Name", "Name"],
      ["Type", "Type"],
      ["Website", "Website"],
      ["Phone", "Phone"],
    ],
    search: ["Name", "Website"],
    fields: ["Name", "Type", "Industry", "Website", "Phone", "BillingCity", "Description"],
  },
  Contact: {
    plural: "Contacts",
    one: "contact",
    title: "Name",
    order: "LastName",
    columns: [
      ["Name", "Name"],
      ["Email", "E-mail"],
      ["Account.Name", "Account"],
      ["Title", "Title"],
    ],
    search: ["Name", "Email"],
    fields: ["FirstName", "LastName", "Email", "AccountId", "Title", "Phone", "MobilePhone", "Description"],
  },
  Lead: {
    plural: "Leads",
    one: "lead",
    title: "Name",
    order: "LastName",
    columns: [
      ["Name", "Name"],
      ["Email", "E-mail"],
      ["Company", "Company"],
      ["Status", "Status"],
    ],
    search: ["Name", "Email", "Company"],
    fields: ["FirstName", "LastName", "Company", "Email", "Status", "Title", "Phone", "Description"],
  },
  Opportunity: {
    plural: "Opportunities",
    one: "opportunity",
    title: "Name",
    order: "CloseDate DESC",
    columns: [
      ["Name", "Name"],
      ["Account.Name", "Account"],
      ["StageName", "Stage"],
      ["CloseDate", "Close date"],
    ],
    search: ["Name"],
    fields: ["Name", "AccountId", "StageName", "Amount", "CloseDate", "NextStep", "Description"],
  },
  Case: {
    plural: "Cases",
    one: "case",
    title: "Subject",
    order: "CaseNumber DESC",
    columns: [
      ["CaseNumber", "Number"],
      ["Subject", "Subject"],
      ["Contact.Name", "Contact"],
      ["Status", "Status"],
    ],
    search: ["Subject", "CaseNumber"],
    fields: ["Subject", "Status", "Priority", "Origin", "AccountId", "ContactId", "Description"],
  },
  EmailMessage: {
    plural: "E-mail messages",
    one: "e-mail message",
    title: "Subject",
    order: "MessageDate DESC",
    columns: [
      ["Subject", "Subject"],
      ["FromAddress", "From"],
      ["RelatedTo.Name", "Related to"],
      ["MessageDate", "Date"],
    ],
    search: ["Subject", "FromAddress"],
    fields: ["Subject", "FromAddress", "ToAddress", "CcAddress", "RelatedToId", "TextBody"],
    preset: () => ({ Status: "3", MessageDate: new Date().toISOString() }),
  },
  Event: {
    plural: "Events",
    one: "event",
    title: "Subject",
    order: "StartDateTime DESC",
    columns: [
      ["Subject", "Subject"],
      ["StartDateTime", "Start"],
      ["Who.Name", "Name"],
      ["Owner.Name", "Assigned to"],
    ],
    search: ["Subject", "Location"],
    fields: [
      "Subject",
      "StartDateTime",
      "EndDateTime",
      "IsAllDayEvent",
      "Location",
      "ShowAs",
      "IsPrivate",
      "Description",
      "WhoId",
      "WhatId",
    ],
  },
};

/** key prefix -> kind, for those that can be shown */
export const KIND_OF = {
  "001": "Account",
  "003": "Contact",
  "00Q": "Lead",
  "006": "Opportunity",
  500: "Case",
  "02s": "EmailMessage",
  "00U": "Event",
};
