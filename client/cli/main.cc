#include "client/cli/command.h"

int main(int argc, char** argv) { return hone::client::cli::Main(argc, argv); }
