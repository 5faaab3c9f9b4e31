/* What an error tells: a server that refuses, one that limits, and answers made into errors. The sandbox is named by
 * BASE_URL; its first token request is answered 429 with Retry-After 7, the second refuses the client. */
#include "check.h"

int main(void) {
    svctoken_client *client = NULL;
    svctoken_config *config = svctoken_config_new();
    svctoken_config_set_base_url(config, variable("BASE_URL"));
    svctoken_config_set_client_id(config, "mdb_sa_id_0123456789abcdef01234567");
    svctoken_config_set_client_secret(config, "mdb_sa_sk_sandboxsandboxsandboxsandboxsandbox");
    svctoken_config_set_max_attempts(config, 1);
    CHECK_OK(svctoken_client_new_atlas(config, &client, &error));

    char *token = NULL;
    svctoken_error *error = NULL;
    CHECK(svctoken_client_get_token(client, NULL, &token, &error) == SVCTOKEN_RATE_LIMITED);
    CHECK(svctoken_error_code(error) == SVCTOKEN_RATE_LIMITED);
    CHECK(strcmp(svctoken_error_name(error), "rate_limited") == 0);
    CHECK(strcmp(svctoken_error_stage(error), "token_answer") == 0);
    CHECK(svctoken_error_status(error) == 429);
    CHECK(svctoken_error_retry_after_ms(error) == 7000);
    CHECK(strcmp(svctoken_error_oauth_error(error), "rate_limited") == 0);
    CHECK(strcmp(svctoken_error_oauth_error_description(error), "too many") == 0);
    CHECK(strstr(svctoken_error_message(error), svctoken_error_next_step(error)) != NULL);
    svctoken_error_free(error);

    /* Remembered until the clock moves on. */
    CHECK(svctoken_testing_advance_clock(600000) == SVCTOKEN_OK);
    error = NULL;
    CHECK(svctoken_client_get_token(client, NULL, &token, &error) == SVCTOKEN_CLIENT_REFUSED);
    CHECK(svctoken_error_status(error) == 401);
    CHECK(svctoken_error_oauth_error_description(error) == NULL);
    CHECK(strstr(svctoken_error_message(error), "sandboxsandbox") == NULL);
    svctoken_error_free(error);
    CHECK(token == NULL);

    CHECK(svctoken_testing_advance_clock(600000) == SVCTOKEN_OK);
    svctoken_response *response = NULL;
    CHECK_OK(svctoken_client_request(client, "GET", "/api/atlas/v2/groups/none", NULL, &response, &error));
    CHECK(svctoken_response_status(response) == 404 && !svctoken_response_is_ok(response));
    CHECK_FAILS(SVCTOKEN_HTTP_STATUS, "GROUP_NOT_FOUND", svctoken_response_check(response, &error));
    CHECK(svctoken_response_check(response, NULL) == SVCTOKEN_HTTP_STATUS);
    svctoken_response_free(response);
    svctoken_client_free(client);

    /* A bad setter fails the constructor, by the option's name; a good one afterwards does not hide it. */
    client = NULL;
    CHECK(svctoken_config_set_timeout(config, -1) == SVCTOKEN_INVALID_CONFIGURATION);
    CHECK(svctoken_config_set_timeout(config, 1000) == SVCTOKEN_OK);
    CHECK_FAILS(SVCTOKEN_INVALID_CONFIGURATION, "timeout", svctoken_client_new_atlas(config, &client, &error));
    CHECK(client == NULL);
    svctoken_config_free(config);
    return 0;
}
