#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cmake/headers/base.h"
