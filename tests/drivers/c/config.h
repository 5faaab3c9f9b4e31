/* The options of a client, from the fields of a command and from the environment. */
#ifndef CONFIG_H
#define CONFIG_H

#include "lines.h"
#include "svctoken.h"

extern char **environ;

/* Why a command is broken that asks for what C cannot say. */
static const char NOT_EXPRESSIBLE[] = "not expressible";

static const struct {
    const char *name;
    svctoken_code (*set)(svctoken_config *, const char *);
} texts[] = {
    {"client_id", svctoken_config_set_client_id},
    {"client_secret", svctoken_config_set_client_secret},
    {"client_secret_file", svctoken_config_set_client_secret_file},
    {"client_secret_command", svctoken_config_add_client_secret_command},
    {"client_secret_2", svctoken_config_set_client_secret_2},
    {"private_key", svctoken_config_set_private_key},
    {"private_key_file", svctoken_config_set_private_key_file},
    {"key_id", svctoken_config_set_key_id},
    {"access_token", svctoken_config_set_access_token},
    {"token_url", svctoken_config_set_token_url},
    {"issuer", svctoken_config_set_issuer},
    {"revocation_url", svctoken_config_set_revocation_url},
    {"introspection_url", svctoken_config_set_introspection_url},
    {"base_url", svctoken_config_set_base_url},
    {"allowed_origins", svctoken_config_add_allowed_origin},
    {"auth_method", svctoken_config_set_auth_method},
    {"auth_encoding", svctoken_config_set_auth_encoding},
    {"signing_alg", svctoken_config_set_signing_alg},
    {"assertion_audience", svctoken_config_set_assertion_audience},
    {"scope", svctoken_config_set_scope},
    {"audience", svctoken_config_set_audience},
    {"resource", svctoken_config_add_resource},
    {"cache", svctoken_config_set_cache},
    {"accept", svctoken_config_set_accept},
    {"user_agent", svctoken_config_set_user_agent},
    {"proxy", svctoken_config_set_proxy},
    {"ca_file", svctoken_config_set_ca_file},
    {"client_cert_file", svctoken_config_set_client_cert_file},
    {"client_key_file", svctoken_config_set_client_key_file},
};

static const struct {
    const char *name;
    svctoken_code (*set)(svctoken_config *, int64_t);
} times[] = {
    {"timeout", svctoken_config_set_timeout},
    {"connect_timeout", svctoken_config_set_connect_timeout},
    {"token_timeout", svctoken_config_set_token_timeout},
};

static const struct {
    const char *name;
    svctoken_code (*set)(svctoken_config *, uint64_t);
} counts[] = {
    {"max_attempts", svctoken_config_set_max_attempts},
    {"mint_budget", svctoken_config_set_mint_budget},
    {"max_response_bytes", svctoken_config_set_max_response_bytes},
};

static const struct {
    const char *prefix;
    svctoken_code (*add)(svctoken_config *, const char *, const char *);
} pairs[] = {
    {"extra_params.", svctoken_config_add_extra_param},
    {"headers.", svctoken_config_add_header},
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static void give_secret(svctoken_secret_answer *answer, void *path) {
    char secret[256];
    FILE *file = fopen(path, "r");
    if (file != NULL && fgets(secret, sizeof secret, file) != NULL) {
        secret[strcspn(secret, "\n")] = '\0';
        svctoken_secret_answer_set(answer, secret);
    } else {
        svctoken_secret_answer_fail(answer, "there is no secret today");
    }
    if (file != NULL) fclose(file);
}

/* Returns NULL, or why the driver cannot. The setters' codes are the constructor's business. */
static const char *set_option(svctoken_config *config, const pair *option) {
    int64_t number;
    if (!is_c_text(option)) return NOT_EXPRESSIBLE;
    for (size_t i = 0; i < LENGTH(texts); i++) {
        const char *type = after(option->key, texts[i].name);
        if (type != NULL && (*type == '\0' || strcmp(type, "!bytes") == 0)) {
            texts[i].set(config, option->value);
            return NULL;
        }
        if (type != NULL && strcmp(type, "!null") == 0) {
            texts[i].set(config, NULL);
            return NULL;
        }
    }
    for (size_t i = 0; i < LENGTH(times); i++) {
        if (strcmp(option->key, times[i].name) == 0 && read_number(option->value, &number)) {
            times[i].set(config, number);
            return NULL;
        }
    }
    for (size_t i = 0; i < LENGTH(counts); i++) {
        if (strcmp(option->key, counts[i].name) == 0 && read_number(option->value, &number) && number >= 0) {
            counts[i].set(config, (uint64_t)number);
            return NULL;
        }
    }
    for (size_t i = 0; i < LENGTH(pairs); i++) {
        const char *name = after(option->key, pairs[i].prefix);
        if (name != NULL) {
            pairs[i].add(config, name, option->value);
            return NULL;
        }
    }
    if (strcmp(option->key, "client_secret_callback") == 0) {
        svctoken_config_set_client_secret_callback(config, give_secret, strdup(option->value), free);
        return NULL;
    }
    if (strcmp(option->key, "allow_http") == 0) {
        svctoken_config_set_allow_http(config, strcmp(option->value, "true") == 0);
        return NULL;
    }
    return NOT_EXPRESSIBLE;
}

static void clear_environment(void) {
    for (char **variable = environ; variable != NULL && *variable != NULL;) {
        char name[256];
        size_t length = strcspn(*variable, "=");
        bool ours = after(*variable, "SVCTOKEN_") != NULL || after(*variable, "MONGODB_ATLAS_") != NULL;
        if (ours && length < sizeof name) {
            memcpy(name, *variable, length);
            name[length] = '\0';
            unsetenv(name);
            variable = environ;
        } else {
            variable++;
        }
    }
}

#endif
