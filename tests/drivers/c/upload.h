/* Bodies of requests that the library reads while it sends them, as tests/drivers/README.md says. */
#ifndef UPLOAD_H
#define UPLOAD_H

#include <unistd.h>

#include "lines.h"
#include "svctoken.h"

#define PIECE (64 * 1024)

/* What the fields of a request say of its body. */
typedef struct {
    bool given, measure;
    char way; /* 's'ource, 'r'epeatable, 'f'ile, 'b'ytes, or one that C has not */
    int64_t count, length, fails, cancel_at, position;
    const svctoken_cancel *cancel;
    char path[32];
} upload;

static upload no_upload(const svctoken_cancel *cancel) {
    return (upload){.way = 's', .length = -1, .fails = INT64_MAX, .cancel_at = INT64_MAX, .cancel = cancel};
}

/* Whether the field says something of an upload. */
static bool read_upload(upload *u, const pair *p) {
    const struct {
        const char *name;
        int64_t *field;
    } fields[] = {{"upload", &u->count}, {"upload_length", &u->length}, {"upload_fails", &u->fails}, {"upload_cancel", &u->cancel_at}};
    if (strcmp(p->key, "upload_as") == 0) {
        u->way = p->value[0];
        return true;
    }
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (strcmp(p->key, fields[i].name) == 0 && read_number(p->value, fields[i].field)) {
            u->given = u->given || i == 0;
            return true;
        }
    }
    return false;
}

static int64_t give(void *user_data, void *buffer, size_t size) {
    upload *u = user_data;
    if (u->position >= u->fails) return -1;
    if (u->position >= u->cancel_at) svctoken_cancel_trigger(u->cancel);
    int64_t most = size < PIECE ? (int64_t)size : PIECE;
    if (most > u->count - u->position) most = u->count - u->position;
    if (most > u->fails - u->position) most = u->fails - u->position;
    for (int64_t i = 0; i < most; i++) ((char *)buffer)[i] = (char)((u->position + i) % 251);
    u->position += most;
    return most;
}

static bool begin_anew(void *user_data) {
    ((upload *)user_data)->position = 0;
    return true;
}

static void write_file(upload *u) {
    static char piece[PIECE];
    strcpy(u->path, "/tmp/svctoken-driver-XXXXXX");
    int file = mkstemp(u->path);
    for (int64_t count; file >= 0 && (count = give(u, piece, sizeof piece)) > 0;) {
        if (write(file, piece, (size_t)count) != count) break;
    }
    if (file >= 0) close(file);
}

/* Gives the options the body; false if C has none of that kind. The upload must outlive the call. */
static bool add_upload(upload *u, svctoken_options *options, const char *content_type) {
    switch (u->way) {
    case 's':
    case 'r':
        svctoken_options_set_body_callback(options, give, u->way == 'r' ? begin_anew : NULL, u->length, content_type, u, NULL);
        return true;
    case 'f':
        write_file(u);
        svctoken_options_set_body_file(options, u->path, content_type);
        return true;
    case 'b': {
        buffer bytes = {0};
        bytes.bytes = allocate((size_t)u->count + 1);
        for (size_t size = 0; (int64_t)bytes.length < u->count; bytes.length += size) {
            size = (size_t)give(u, bytes.bytes + bytes.length, (size_t)u->count - bytes.length);
        }
        svctoken_options_set_body(options, bytes.bytes, bytes.length, content_type);
        free(bytes.bytes);
        return true;
    }
    default: return false;
    }
}

static void end_upload(const upload *u) {
    if (u->path[0] != '\0') unlink(u->path);
}

#endif
