#include <google/protobuf/util/time_util.h>
#include <grpcpp/grpcpp.h>

#include "cmake/headers/base.h"
#include "hone/v1/dataset_service.pb.h"
#include "hone/v1/model_service.pb.h"
#include "hone/v1/training_service.pb.h"
#include "hone/v1/worker.pb.h"
