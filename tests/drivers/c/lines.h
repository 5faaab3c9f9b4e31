/* The lines of the drivers' protocol: growing buffers, percent-encoding, words and pairs. */
#ifndef LINES_H
#define LINES_H

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *allocate(size_t size) {
    void *memory = calloc(1, size);
    if (memory == NULL) abort();
    return memory;
}

/* Bytes that grow; always followed by a NUL. */
typedef struct {
    char *bytes;
    size_t length, capacity;
} buffer;

static void append(buffer *b, const char *bytes, size_t length) {
    if (b->length + length + 1 > b->capacity) {
        b->capacity = 2 * (b->length + length + 1);
        b->bytes = realloc(b->bytes, b->capacity);
        if (b->bytes == NULL) abort();
    }
    memcpy(b->bytes + b->length, bytes, length);
    b->length += length;
    b->bytes[b->length] = '\0';
}

static void append_encoded(buffer *b, const char *bytes, size_t length) {
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/?,;@$*()! ";
    for (size_t i = 0; i < length; i++) {
        char escaped[4];
        if (bytes[i] != '\0' && strchr(plain, bytes[i]) != NULL) {
            append(b, &bytes[i], 1);
        } else {
            snprintf(escaped, sizeof escaped, "%%%02X", (unsigned)(unsigned char)bytes[i]);
            append(b, escaped, 3);
        }
    }
}

static void add_bytes(buffer *answer, const char *key, const char *bytes, size_t length) {
    append(answer, "\t", 1);
    append_encoded(answer, key, strlen(key));
    append(answer, "=", 1);
    append_encoded(answer, bytes, length);
}

static void add_text(buffer *answer, const char *key, const char *text) {
    if (text != NULL) add_bytes(answer, key, text, strlen(text));
}

static void add_number(buffer *answer, const char *key, int64_t number) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, number);
    add_text(answer, key, text);
}

static int digit(char c) {
    static const char digits[] = "0123456789ABCDEF0123456789abcdef";
    const char *found = c == '\0' ? NULL : strchr(digits, c);
    return found == NULL ? -1 : (int)(found - digits) % 16;
}

/* Undoes the percent-encoding in place; returns the length. */
static size_t decode(char *text) {
    char *out = text;
    for (const char *in = text; *in != '\0'; out++) {
        if (*in == '%' && digit(in[1]) >= 0 && digit(in[2]) >= 0) {
            *out = (char)(digit(in[1]) * 16 + digit(in[2]));
            in += 3;
        } else {
            *out = *in++;
        }
    }
    *out = '\0';
    return (size_t)(out - text);
}

/* Takes the next field off the line, still encoded; NULL at the end. */
static char *next_field(char **line) {
    char *field = *line;
    if (field == NULL) return NULL;
    char *tab = strchr(field, '\t');
    if (tab != NULL) *tab++ = '\0';
    *line = tab;
    return field;
}

static char *next_word(char **line) {
    char *word = next_field(line);
    if (word != NULL) decode(word);
    return word;
}

typedef struct {
    char *key, *value;
    size_t length;
} pair;

/* Takes the next field, key=value, off the line; false at the end. */
static bool next_pair(char **line, pair *found) {
    char *field = next_field(line);
    if (field == NULL) return false;
    char *equals = strchr(field, '=');
    if (equals != NULL) *equals++ = '\0';
    decode(field);
    found->key = field;
    found->value = equals == NULL ? field + strlen(field) : equals;
    found->length = decode(found->value);
    return true;
}

/* Whether C can be handed the value as a string. */
static bool is_c_text(const pair *p) {
    return strlen(p->value) == p->length && strlen(p->key) > 0;
}

static const char *after(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0 ? text + strlen(prefix) : NULL;
}

static bool read_number(const char *text, int64_t *number) {
    char *end = NULL;
    errno = 0;
    *number = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

#endif
