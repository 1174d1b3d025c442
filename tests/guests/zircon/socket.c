// Sockets: bytes or datagrams between two ends.

#include "check.h"

// More than a socket has room for.
static char large[300 * 1024];

static void streams(void) {
    zx_handle_t a, b;
    char text[16];
    size_t n = 0;
    OK(zx_socket_create(ZX_SOCKET_STREAM, &a, &b));
    NUMBER(signals_of(a), ZX_SOCKET_WRITABLE);
    STATUS(zx_socket_read(b, 0, text, sizeof(text), &n), ZX_ERR_SHOULD_WAIT);
    OK(zx_socket_write(a, 0, "hello", 5, &n));
    NUMBER(n, 5);
    NUMBER(signals_of(b), ZX_SOCKET_READABLE | ZX_SOCKET_WRITABLE);
    OK(zx_socket_read(b, ZX_SOCKET_PEEK, text, 2, &n));
    TRUE(n == 2 && text[0] == 'h' && text[1] == 'e');
    OK(zx_socket_read(b, 0, text, sizeof(text), &n));
    TRUE(n == 5 && text[0] == 'h' && text[4] == 'o');
    OK(zx_socket_write(a, 0, 0, 0, 0));

    STATUS(zx_socket_write(a, 1, "x", 1, &n), ZX_ERR_INVALID_ARGS);
    STATUS(zx_socket_write(a, 0, BAD, 1, &n), ZX_ERR_INVALID_ARGS);
    STATUS(zx_socket_write(NO_HANDLE, 0, "x", 1, &n), ZX_ERR_BAD_HANDLE);
    STATUS(zx_socket_write(zx_process_self(), 0, "x", 1, &n), ZX_ERR_WRONG_TYPE);
    zx_handle_t reader = with_rights(a, ZX_RIGHT_READ);
    STATUS(zx_socket_write(reader, 0, "x", 1, &n), ZX_ERR_ACCESS_DENIED);
    OK(zx_handle_close(reader));
    STATUS(zx_socket_read(b, 1, text, 1, &n), ZX_ERR_INVALID_ARGS);
    STATUS(zx_socket_read(b, 0, 0, 1, &n), ZX_ERR_INVALID_ARGS);
    STATUS(zx_socket_read(NO_HANDLE, 0, text, 1, &n), ZX_ERR_BAD_HANDLE);
    STATUS(zx_socket_read(zx_process_self(), 0, text, 1, &n), ZX_ERR_WRONG_TYPE);
    STATUS(zx_socket_read(with_rights(b, ZX_RIGHT_WRITE), 0, text, 1, &n), ZX_ERR_ACCESS_DENIED);
    OK(zx_socket_write(a, 0, "xy", 2, 0));
    STATUS(zx_socket_read(b, 0, BAD, 1, &n), ZX_ERR_INVALID_ARGS);
    STATUS(zx_socket_read(b, ZX_SOCKET_PEEK, text, 1, BAD), ZX_ERR_INVALID_ARGS);
    zx_socket_read(b, 0, text, sizeof(text), &n);

    // A write is short when there is not enough room.
    OK(zx_socket_write(a, 0, large, sizeof(large), &n));
    TRUE(n > 0 && n < sizeof(large));
    STATUS(zx_socket_write(a, 0, large, 1, &n), ZX_ERR_SHOULD_WAIT);
    NUMBER(signals_of(a), 0);
    OK(zx_socket_read(b, 0, large, sizeof(large), &n));
    OK(zx_socket_write(a, 0, "end", 3, 0));
    OK(zx_handle_close(a));
    NUMBER(signals_of(b), ZX_SOCKET_READABLE | ZX_SOCKET_PEER_CLOSED);
    STATUS(zx_socket_write(b, 0, "x", 1, &n), ZX_ERR_PEER_CLOSED);
    OK(zx_socket_read(b, 0, text, sizeof(text), &n));
    NUMBER(n, 3);
    STATUS(zx_socket_read(b, 0, text, sizeof(text), &n), ZX_ERR_PEER_CLOSED);
}

static void datagrams(void) {
    zx_handle_t a, b;
    char text[16];
    size_t n = 0;
    OK(zx_socket_create(ZX_SOCKET_DATAGRAM, &a, &b));
    OK(zx_socket_write(a, 0, "first", 5, &n));
    OK(zx_socket_write(a, 0, "second", 6, &n));
    OK(zx_socket_read(b, 0, text, 2, &n));
    NUMBER(n, 2);
    OK(zx_socket_read(b, 0, text, sizeof(text), &n));
    TRUE(n == 6 && text[0] == 's');
    zx_info_socket_t info = {0};
    OK(zx_socket_write(a, 0, "three", 5, 0));
    OK(zx_socket_write(a, 0, "four", 4, 0));
    OK(zx_object_get_info(b, ZX_INFO_SOCKET, &info, sizeof(info), 0, 0));
    TRUE(info.options == ZX_SOCKET_DATAGRAM && info.rx_buf_size == 9 && info.rx_buf_available == 5);
    TRUE(info.tx_buf_size == 0 && info.tx_buf_max == info.rx_buf_max && info.rx_buf_max != 0);
    STATUS(zx_object_get_info(zx_process_self(), ZX_INFO_SOCKET, &info, sizeof(info), 0, 0), ZX_ERR_WRONG_TYPE);
    size_t threshold = 9;
    OK(zx_object_set_property(b, ZX_PROP_SOCKET_RX_THRESHOLD, &threshold, sizeof(threshold)));
    TRUE(signals_of(b) & ZX_SOCKET_READ_THRESHOLD);
    OK(zx_socket_read(b, 0, text, sizeof(text), &n));
    TRUE(!(signals_of(b) & ZX_SOCKET_READ_THRESHOLD));
    OK(zx_socket_read(b, 0, text, sizeof(text), &n));
    threshold = 0;
    OK(zx_object_get_property(b, ZX_PROP_SOCKET_RX_THRESHOLD, &threshold, sizeof(threshold)));
    NUMBER(threshold, 9);
    threshold = info.rx_buf_max + 1;
    STATUS(zx_object_set_property(b, ZX_PROP_SOCKET_RX_THRESHOLD, &threshold, sizeof(threshold)), ZX_ERR_INVALID_ARGS);
    STATUS(zx_object_set_property(b, ZX_PROP_SOCKET_TX_THRESHOLD, &threshold, sizeof(threshold)), ZX_ERR_INVALID_ARGS);
    threshold = 100;
    OK(zx_object_set_property(b, ZX_PROP_SOCKET_TX_THRESHOLD, &threshold, sizeof(threshold)));
    TRUE(signals_of(b) & ZX_SOCKET_WRITE_THRESHOLD);
    OK(zx_object_get_property(b, ZX_PROP_SOCKET_TX_THRESHOLD, &threshold, sizeof(threshold)));
    NUMBER(threshold, 100);
    STATUS(zx_object_get_property(zx_process_self(), ZX_PROP_SOCKET_TX_THRESHOLD, &threshold, 8), ZX_ERR_WRONG_TYPE);
    STATUS(zx_socket_read(b, 0, text, sizeof(text), &n), ZX_ERR_SHOULD_WAIT);
    STATUS(zx_socket_write(a, 0, large, sizeof(large), &n), ZX_ERR_OUT_OF_RANGE);
    OK(zx_socket_write(a, 0, large, 200 * 1024, &n));
    STATUS(zx_socket_write(a, 0, large, 200 * 1024, &n), ZX_ERR_SHOULD_WAIT);
}

static void dispositions(void) {
    zx_handle_t a, b;
    char text[16];
    size_t n = 0;
    OK(zx_socket_create(ZX_SOCKET_STREAM, &a, &b));
    OK(zx_socket_write(a, 0, "last", 4, &n));
    OK(zx_socket_set_disposition(a, ZX_SOCKET_DISPOSITION_WRITE_DISABLED, 0));
    TRUE(signals_of(a) & ZX_SOCKET_WRITE_DISABLED);
    TRUE(signals_of(b) & ZX_SOCKET_PEER_WRITE_DISABLED);
    STATUS(zx_socket_write(a, 0, "x", 1, &n), ZX_ERR_BAD_STATE);
    STATUS(zx_socket_set_disposition(a, ZX_SOCKET_DISPOSITION_WRITE_ENABLED, 0), ZX_ERR_BAD_STATE);
    OK(zx_socket_read(b, 0, text, sizeof(text), &n));
    STATUS(zx_socket_read(b, 0, text, sizeof(text), &n), ZX_ERR_BAD_STATE);
    OK(zx_socket_set_disposition(b, ZX_SOCKET_DISPOSITION_WRITE_DISABLED, ZX_SOCKET_DISPOSITION_WRITE_ENABLED));
    OK(zx_socket_write(a, 0, "x", 1, &n));
    STATUS(zx_socket_write(b, 0, "x", 1, &n), ZX_ERR_BAD_STATE);

    STATUS(zx_socket_set_disposition(a, 3, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_socket_set_disposition(a, 0, 3), ZX_ERR_INVALID_ARGS);
    STATUS(zx_socket_set_disposition(a, 4, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_socket_set_disposition(NO_HANDLE, 0, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_socket_set_disposition(zx_process_self(), 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_socket_set_disposition(with_rights(a, ZX_RIGHT_WRITE), 0, 0), ZX_ERR_ACCESS_DENIED);
}

// A threshold for what the other end takes needs another end.
static void thresholds(void) {
    zx_handle_t a, b;
    size_t threshold = 10;
    OK(zx_socket_create(ZX_SOCKET_STREAM, &a, &b));
    OK(zx_object_set_property(a, ZX_PROP_SOCKET_TX_THRESHOLD, &threshold, sizeof(threshold)));
    OK(zx_handle_close(b));
    STATUS(zx_object_set_property(a, ZX_PROP_SOCKET_TX_THRESHOLD, &threshold, sizeof(threshold)), ZX_ERR_PEER_CLOSED);
}

int main(void) {
    thresholds();
    zx_handle_t a, b;
    STATUS(zx_socket_create(2, &a, &b), ZX_ERR_INVALID_ARGS);
    STATUS(zx_socket_create(0, BAD, &b), ZX_ERR_INVALID_ARGS);
    STATUS(zx_socket_create(0, &a, 0), ZX_ERR_INVALID_ARGS);
    streams();
    datagrams();
    dispositions();
    return finish();
}
