/* The clients of a driver by their names. */
#ifndef CLIENTS_H
#define CLIENTS_H

#include "answers.h"
#include "config.h"
#include "events.h"
#include "lines.h"
#include "svctoken.h"

typedef struct client {
    struct client *next;
    char *id;
    svctoken_client *client;
} client;

static client *clients;

static svctoken_client *find_client(const char *id) {
    for (client *c = clients; id != NULL && c != NULL; c = c->next) {
        if (strcmp(c->id, id) == 0) return c->client;
    }
    return NULL;
}

/* Each returns NULL, or why the command is broken. */
static const char *make_client(char *line, buffer *answer) {
    const char *broken = NULL, *constructor = "plain", *server_url = NULL, *realm = NULL, *issuer = NULL;
    char *id = next_word(&line);
    if (id == NULL) return "a client needs an id";
    svctoken_config *config = svctoken_config_new();
    svctoken_config_set_log(config, keep_event, new_journal(id), NULL);
    clear_environment();
    for (pair p; broken == NULL && next_pair(&line, &p);) {
        const char *variable = after(p.key, "env.");
        if (variable != NULL) setenv(variable, p.value, 1);
        else if (strcmp(p.key, "constructor") == 0) constructor = p.value;
        else if (strcmp(p.key, "server_url") == 0) server_url = p.value;
        else if (strcmp(p.key, "realm") == 0) realm = p.value;
        else if (strcmp(constructor, "issuer") == 0 && strcmp(p.key, "issuer") == 0) issuer = p.value;
        else broken = set_option(config, &p);
    }
    svctoken_client *made = NULL;
    svctoken_error *error = NULL;
    if (broken != NULL) {
        svctoken_config_free(config);
        return broken;
    }
    if (strcmp(constructor, "plain") == 0) svctoken_client_new(config, &made, &error);
    else if (strcmp(constructor, "atlas") == 0) svctoken_client_new_atlas(config, &made, &error);
    else if (strcmp(constructor, "from_env") == 0) svctoken_client_new_from_env(config, &made, &error);
    else if (strcmp(constructor, "keycloak") == 0) {
        svctoken_client_new_keycloak(server_url, realm, config, &made, &error);
    } else if (strcmp(constructor, "issuer") == 0) {
        svctoken_client_new_issuer(issuer, config, &made, &error);
    } else {
        broken = "unknown constructor";
    }
    svctoken_config_free(config);
    if (made != NULL) {
        client *kept = allocate(sizeof *kept);
        *kept = (client){clients, strdup(id), made};
        clients = kept;
        append(answer, "ok", 2);
    } else if (error != NULL) {
        add_error(answer, error);
    }
    return broken;
}

static const char *close_client(char *line, buffer *answer) {
    const char *id = next_word(&line);
    for (client **c = &clients; id != NULL && *c != NULL; c = &(*c)->next) {
        if (strcmp((*c)->id, id) == 0) {
            client *closed = *c;
            *c = closed->next;
            svctoken_client_free(closed->client);
            free(closed->id);
            free(closed);
            append(answer, "ok", 2);
            return NULL;
        }
    }
    return "unknown client";
}

static const char *invalidate_token(char *line, buffer *answer) {
    const svctoken_client *with = find_client(next_word(&line));
    const char *token = next_word(&line);
    if (with == NULL) return "unknown client";
    bool was_current = false;
    svctoken_error *error = NULL;
    if (svctoken_client_invalidate_token(with, token, &was_current, &error) != SVCTOKEN_OK) {
        add_error(answer, error);
    } else {
        append(answer, "ok", 2);
        add_text(answer, "result", was_current ? "true" : "false");
    }
    return NULL;
}

static const char *clear_cache(char *line, buffer *answer) {
    const svctoken_client *of = find_client(next_word(&line));
    if (of == NULL) return "unknown client";
    svctoken_error *error = NULL;
    if (svctoken_client_clear_cache(of, &error) != SVCTOKEN_OK) add_error(answer, error);
    else append(answer, "ok", 2);
    return NULL;
}

static const char *tell_stats(char *line, buffer *answer) {
    const svctoken_client *of = find_client(next_word(&line));
    svctoken_stats *stats = NULL;
    if (of == NULL) return "unknown client";
    svctoken_client_get_stats(of, &stats, NULL);
    append(answer, "ok", 2);
    const char *name;
    uint64_t count;
    for (size_t i = 0; svctoken_stats_at(stats, i, &name, &count); i++) add_number(answer, name, (int64_t)count);
    svctoken_stats_free(stats);
    return NULL;
}

#endif
