#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct node { struct node *left, *right; int key; double weight; };
static struct node *insert(struct node *n, int key) {
    if (!n) { n = calloc(1, sizeof *n); n->key = key; n->weight = key * 0.5; return n; }
    if (key < n->key) n->left = insert(n->left, key); else n->right = insert(n->right, key);
    return n;
}
static double total(const struct node *n) { return n ? total(n->left) + n->weight + total(n->right) : 0; }
int main(int argc, char **argv) {
    struct node *root = NULL;
    for (int i = 0; i < 1000; i++) root = insert(root, (i * 7919) % 1009);
    char line[64];
    snprintf(line, sizeof line, "%d %s %.2f", argc, argv[0], total(root));
    puts(line);
    return strlen(line) > 60;
}
