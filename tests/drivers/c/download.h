/* Answers downloaded to a file, as tests/drivers/README.md says. */
#ifndef DOWNLOAD_H
#define DOWNLOAD_H

#include "lines.h"
#include "svctoken.h"

/* What the fields of a request say of its download, and what its progress was. */
typedef struct {
    char *path;
    bool stops, told;
    uint64_t stop_at;
    char first[48], last[48];
} download;

/* Whether the field says something of a download. */
static bool read_download(download *d, const pair *p) {
    if (strcmp(p->key, "download") == 0) d->path = strdup(p->value);
    else if (strcmp(p->key, "progress_stop") == 0) d->stops = true, d->stop_at = strtoull(p->value, NULL, 10);
    else return false;
    return true;
}

static bool hear_progress(void *user_data, uint64_t received, int64_t total) {
    download *d = user_data;
    if (total < 0) snprintf(d->last, sizeof d->last, "%" PRIu64 "/-", received);
    else snprintf(d->last, sizeof d->last, "%" PRIu64 "/%" PRId64, received, total);
    if (!d->told) memcpy(d->first, d->last, sizeof d->first);
    d->told = true;
    return !d->stops || received < d->stop_at;
}

static void add_progress(buffer *answer, const download *d) {
    if (!d->told) return;
    add_text(answer, "progress_first", d->first);
    add_text(answer, "progress_last", d->last);
}

#endif
