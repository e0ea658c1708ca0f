/** `scheme://user:password@`, up to the last `@`: some passwords hold one. */
const URL_LOGIN = /([a-z][a-z0-9+.-]*:\/\/)[^\s/"']*@/gi;

/** Makes a function that blanks out the given secrets, and the login of any URL, wherever they turn up in a text. */
export function redactor(secrets: readonly string[] = []): (text: string) => string {
  // As JSON writes them too, where a quote inside them is escaped. Longer ones first: one may be a part of another.
  const forms = [...new Set(secrets.flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)]))]
    .filter((form) => form !== "").sort((a, b) => b.length - a.length);
  return (text) =>
    forms.reduce((rest, form) => rest.replaceAll(form, "***"), text.replaceAll(URL_LOGIN, "$1***@"));
}
