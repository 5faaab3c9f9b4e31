/* A call on a thread of its own. */
#ifndef CALL_H
#define CALL_H

#include <pthread.h>

#include "download.h"
#include "lines.h"
#include "svctoken.h"
#include "upload.h"

typedef struct call {
    struct call *next;
    char *id, *method, *url, *token;
    char then;
    /* Of a stream: how much is asked for at once, after how many bytes the reader leaves, and after how many it cancels. */
    size_t stream, stop_after, cancel_after, measure;
    upload upload;
    download download;
    int64_t take;
    void (*make)(struct call *);
    const svctoken_client *client;
    svctoken_options *options;
    svctoken_cancel *cancel;
    pthread_t thread;
    buffer answer;
} call;

#endif
