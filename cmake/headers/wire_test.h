#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cmake/headers/wire.h"
