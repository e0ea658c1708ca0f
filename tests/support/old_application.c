/*
 * An application with an old SQLite: runs the SQL text of its standard input in the database that its argument names.
 * Prints the rows of queries as lines with columns parted by "|", and "error: ..." for a statement that fails; then it
 * goes on with the next, as a program that handles its errors would.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sqlite3.h"

#define BUSY_TIMEOUT_MS 30000

static char *read_all(FILE *file) {
  size_t size = 0, room = 65536;
  char *text = malloc(room);
  for (size_t count; (count = fread(text + size, 1, room - size - 1, file)) > 0;) {
    size += count;
    if (room - size < 2) text = realloc(text, room *= 2);
  }
  text[size] = '\0';
  return text;
}

static void print_row(sqlite3_stmt *statement) {
  for (int column = 0; column < sqlite3_column_count(statement); column++) {
    const unsigned char *text = sqlite3_column_text(statement, column);
    printf("%s%s", column > 0 ? "|" : "", text ? (const char *)text : "");
  }
  printf("\n");
}

int main(int count, char **arguments) {
  sqlite3 *db;
  if (count != 2 || sqlite3_open(arguments[1], &db) != SQLITE_OK) return 2;
  sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
  const char *rest = read_all(stdin);
  while (*rest != '\0') {
    sqlite3_stmt *statement = NULL;
    const char *next = rest;
    int result = sqlite3_prepare_v2(db, rest, -1, &statement, &next);
    while (statement && (result = sqlite3_step(statement)) == SQLITE_ROW) print_row(statement);
    if (result != SQLITE_OK && result != SQLITE_DONE) printf("error: %s\n", sqlite3_errmsg(db));
    sqlite3_finalize(statement);
    if (next == rest) break;
    rest = next;
  }
  return sqlite3_close(db) == SQLITE_OK ? 0 : 1;
}
