/* paho C, its asynchronous library. The job is that of src/lib.rs. */

#include <MQTTAsync.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA "bench/data"
#define CREDIT "bench/credit"
#define BATCH 128
#define WINDOW 100
/* Messages handed to the library and not complete: its own queue is bounded by this. */
#define QUEUE 1000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int open_messages, connected, subscribed, received, count;
static MQTTAsync client;

static void fail(const char *what) {
  fprintf(stderr, "%s failed\n", what);
  exit(1);
}

static void set(int *what, int by) {
  pthread_mutex_lock(&lock);
  *what += by;
  pthread_cond_signal(&changed);
  pthread_mutex_unlock(&lock);
}

static void wait_for(int *what, int at_least) {
  pthread_mutex_lock(&lock);
  while (*what < at_least) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
}

static void wait_below(int *what, int limit) {
  pthread_mutex_lock(&lock);
  while (*what >= limit) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
}

static void on_connected(void *context, MQTTAsync_successData *data) { set(&connected, 1); }
static void on_subscribed(void *context, MQTTAsync_successData *data) { set(&subscribed, 1); }
static void on_complete(void *context, MQTTAsync_successData *data) { set(&open_messages, -1); }
static void on_failure(void *context, MQTTAsync_failureData *data) { fail("a request"); }
static void on_lost(void *context, char *cause) { fail("the connection"); }

static void publish(const char *topic, int qos, void *payload, int size) {
  MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
  response.onSuccess = on_complete;
  response.onFailure = on_failure;
  set(&open_messages, 1);
  if (MQTTAsync_send(client, topic, size, payload, qos, 0, &response) != MQTTASYNC_SUCCESS) fail("to send");
}

static int on_message(void *context, char *topic, int length, MQTTAsync_message *message) {
  MQTTAsync_freeMessage(&message);
  MQTTAsync_free(topic);
  int now = __atomic_add_fetch(&received, 1, __ATOMIC_RELAXED);
  if (now % BATCH == 0) publish(CREDIT, 0, "", 0);
  if (now == count) set(&received, 0);
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 6) fail("MODE URL QOS SIZE COUNT");
  const char *mode = argv[1], *url = argv[2];
  int qos = atoi(argv[3]), size = atoi(argv[4]);
  count = atoi(argv[5]);
  char address[256];
  if (strncmp(url, "mqtt://", 7) == 0) snprintf(address, sizeof address, "tcp://%s", url + 7);
  else snprintf(address, sizeof address, "%s", url);
  char *payload = malloc(size + 1);
  memset(payload, 'x', size);

  MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
  create.maxBufferedMessages = QUEUE;
  if (MQTTAsync_createWithOptions(&client, address, "paho", MQTTCLIENT_PERSISTENCE_NONE, NULL, &create))
    fail("to create");
  MQTTAsync_setCallbacks(client, NULL, on_lost, on_message, NULL);
  MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer;
  connect.keepAliveInterval = 50;
  connect.cleansession = 1;
  connect.maxInflight = WINDOW;
  connect.onSuccess = on_connected;
  connect.onFailure = on_failure;
  if (MQTTAsync_connect(client, &connect)) fail("to connect");
  wait_for(&connected, 1);

  if (strcmp(mode, "first") == 0) {
    publish(DATA, 1, payload, size);
    wait_below(&open_messages, 1);
    puts("acknowledged");
  } else if (strcmp(mode, "publish") == 0) {
    for (int i = 0; i < count; i++) {
      wait_below(&open_messages, QUEUE);
      publish(DATA, qos, payload, size);
    }
    wait_below(&open_messages, 1);
  } else if (strcmp(mode, "receive") == 0) {
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.onSuccess = on_subscribed;
    response.onFailure = on_failure;
    if (MQTTAsync_subscribe(client, DATA, qos, &response)) fail("to subscribe");
    wait_for(&subscribed, 1);
    puts("ready");
    fflush(stdout);
    wait_for(&received, count);
  } else {
    fail("to understand the mode");
  }
  /* Everything is complete: no goodbye that would be waited for. */
  fflush(stdout);
  _Exit(0);
}
