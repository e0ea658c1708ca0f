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

const BLANK = "***";
const SECRET_NAME = String
  .raw`[\w.-]*(?:(?:pass(?:word|wd|phrase|)|pwd)(?![a-z])|secret|token|access_?key|api_?key|seed|credential|authorization)(?![\w.-]*_?files?\b)[\w-]*`;
const VALUE = String.raw`"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|\[[^\]]*\]`;

/** What a secret looks like in texts of which nobody has told what is secret in them. */
const PATTERNS: readonly (readonly [RegExp, string])[] = [
  // Private keys, and the parts of a credentials file of NATS.
  [/-{3,}BEGIN [^\n-]*(?:KEY|SEED|JWT)[^\n-]*-{3,}[\s\S]*?(?:-{3,}END [^\n-]*-{3,}|$)/g, BLANK],
  [/\bS[NCOAUX][A-Z2-7]{56}\b/g, BLANK], // seeds of nkeys
  [/\beyJ[\w-]{8,}(?:\.[\w-]*)*/g, BLANK], // JSON web tokens
  [/\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b/g, BLANK], // access keys of AWS
  [/\b(Basic|Bearer)\s+[\w+/=.~-]{4,}/gi, `$1 ${BLANK}`],
  [/([?&](?:login|secret|password|token|[\w-]*signature|[\w-]*credential)=)[^&#\s"']*/gi, `$1${BLANK}`],
  [new RegExp(`\\b(${SECRET_NAME}["']?[ \\t]*[:=][ \\t]*)(?:${VALUE}|[^\\s,}\\]&]+)`, "gi"), `$1"${BLANK}"`],
];

/**
 * Makes a function that blanks out, besides the given secrets, whatever looks like one: for texts that leave the machine.
 * Rather too much than too little.
 */
export function scrubber(secrets: readonly string[] = []): (text: string) => string {
  const redact = redactor(secrets);
  return (text) => PATTERNS.reduce((rest, [pattern, blank]) => rest.replaceAll(pattern, blank), redact(text));
}

/**
 * Likewise for a configuration that may be broken, one setting a line: what stands behind a secret one goes, quoted or not, and
 * behind each that is not known, as it may be a secret one that is misspelled.
 *
 * @param isKnown whether there is a setting of this name, which is the last part of its key
 */
export function scrubSettings(text: string, isKnown: (name: string) => boolean): string {
  const rest = new RegExp(`^([ \\t#]*["']?([\\w.-]+)["']?[ \\t]*=[ \\t]*)(?:${VALUE}|).*$`, "gim");
  const isSecret = new RegExp(`^${SECRET_NAME}$`, "i");
  const blanked = text.replaceAll(rest, (line, start: string, key: string) => {
    const name = key.split(".").at(-1)!;
    return isSecret.test(name) || !isKnown(name) ? `${start}"${BLANK}"` : line;
  });
  return scrubber()(blanked);
}
