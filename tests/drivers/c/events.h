/* Log events, kept until they are asked for. */
#ifndef EVENTS_H
#define EVENTS_H

#include <pthread.h>

#include "answers.h"
#include "lines.h"
#include "svctoken.h"

/* The events of a client that `events` has not taken yet, as the fields of its answer. Lives as long as the process: a
 * token request may outlive its client. */
typedef struct journal {
    struct journal *next;
    char *id;
    pthread_mutex_t lock;
    buffer fields;
    size_t count;
} journal;

static journal *journals;

static void add_event_field(journal *j, const char *name, const char *text) {
    char key[64];
    snprintf(key, sizeof key, "%zu.%s", j->count, name);
    add_text(&j->fields, key, text);
}

static const char *severity_name(svctoken_log_severity severity) {
    switch (severity) {
        case SVCTOKEN_LOG_DEBUG: return "debug";
        case SVCTOKEN_LOG_INFO: return "info";
        case SVCTOKEN_LOG_WARNING: return "warning";
        default: return "unknown";
    }
}

static void keep_event(const svctoken_log_event *event, void *user_data) {
    journal *j = user_data;
    const char *name, *text;
    show(svctoken_log_event_name(event), svctoken_log_event_message(event));
    for (size_t i = 0; svctoken_log_event_field_at(event, i, &name, &text); i++) show(name, text);
    pthread_mutex_lock(&j->lock);
    add_event_field(j, "severity", severity_name(svctoken_log_event_severity(event)));
    add_event_field(j, "name", svctoken_log_event_name(event));
    add_event_field(j, "message", svctoken_log_event_message(event));
    for (size_t i = 0; svctoken_log_event_field_at(event, i, &name, &text); i++) add_event_field(j, name, text);
    j->count++;
    pthread_mutex_unlock(&j->lock);
}

static const char *take_events(char *line, buffer *answer) {
    const char *id = next_word(&line);
    for (journal *j = journals; id != NULL && j != NULL; j = j->next) {
        if (strcmp(j->id, id) == 0) {
            append(answer, "ok", 2);
            pthread_mutex_lock(&j->lock);
            if (j->count > 0) append(answer, j->fields.bytes, j->fields.length);
            j->fields.length = j->count = 0;
            pthread_mutex_unlock(&j->lock);
            return NULL;
        }
    }
    return "unknown client";
}

static journal *new_journal(const char *id) {
    journal *j = allocate(sizeof *j);
    j->next = journals;
    j->id = strdup(id);
    pthread_mutex_init(&j->lock, NULL);
    journals = j;
    return j;
}

#endif
