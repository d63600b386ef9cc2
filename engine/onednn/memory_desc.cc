#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/onednn/types.h"

namespace hone::engine::onednn {
namespace {

MemoryDesc Make(const TensorType& type, const dnnl::memory::desc& desc) {
  return MemoryDesc(std::make_shared<MemoryDesc::Rep>(MemoryDesc::Rep{desc, type}));
}

// oneDNN has no scalars and no extents of 0 elements to speak of; a scalar is [1].
std::vector<int64_t> Dims(const TensorType& type) {
  return type.shape.rank() == 0 ? std::vector<int64_t>{1} : type.shape.dims();
}

std::vector<int64_t> RowMajor(const std::vector<int64_t>& dims) {
  std::vector<int64_t> strides(dims.size(), 1);
  for (size_t i = dims.size() - 1; i > 0; --i) {
    strides[i - 1] = strides[i] * dims[i];
  }
  return strides;
}

dnnl::memory::desc PlainDesc(const TensorType& type) {
  const std::vector<int64_t> dims = Dims(type);
  return {dims, ToDnnl(type.dtype), RowMajor(dims)};
}

dnnl::memory::desc Tagged(const TensorType& type, dnnl::memory::format_tag tag) {
  return {Dims(type), ToDnnl(type.dtype), tag};
}

// Of the layouts in which channels lie side by side, the one of `desc`; undef for others.
dnnl::memory::format_tag ChannelTag(const MemoryDesc::Rep& rep) {
  for (const auto tag : {dnnl::memory::format_tag::nChw16c, dnnl::memory::format_tag::nChw8c,
                         dnnl::memory::format_tag::nhwc}) {
    if (rep.type.shape.rank() == 4 && rep.desc == Tagged(rep.type, tag)) {
      return tag;
    }
  }
  return dnnl::memory::format_tag::undef;
}

}  // namespace

dnnl::memory::data_type ToDnnl(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return dnnl::memory::data_type::f32;
    case DType::kBf16:
      return dnnl::memory::data_type::bf16;
    case DType::kS32:
      return dnnl::memory::data_type::s32;
    case DType::kU8:
      return dnnl::memory::data_type::u8;
  }
  return dnnl::memory::data_type::undef;
}

DType FromDnnl(dnnl::memory::data_type type) {
  switch (type) {
    case dnnl::memory::data_type::bf16:
      return DType::kBf16;
    case dnnl::memory::data_type::s32:
      return DType::kS32;
    case dnnl::memory::data_type::u8:
    case dnnl::memory::data_type::s8:
      return DType::kU8;
    default:
      return DType::kF32;
  }
}

MemoryDesc Wrap(const dnnl::memory::desc& desc) {
#if DNNL_VERSION_MAJOR < 3
  const TensorType type = {Shape(desc.dims()), FromDnnl(desc.data_type())};
#else
  const TensorType type = {Shape(desc.get_dims()), FromDnnl(desc.get_data_type())};
#endif
  return Make(type, desc);
}

MemoryDesc MemoryDesc::Plain(const TensorType& type) { return Make(type, PlainDesc(type)); }

MemoryDesc MemoryDesc::Strided(const TensorType& type, const std::vector<int64_t>& strides) {
  return Make(type, dnnl::memory::desc(Dims(type), ToDnnl(type.dtype), strides));
}

MemoryDesc MemoryDesc::ChannelBlocks(const TensorType& type) {
  return Make(type, Tagged(type, dnnl::memory::format_tag::nChw16c));
}

MemoryDesc MemoryDesc::ChannelsLast(const TensorType& type) {
  return Make(type, Tagged(type, dnnl::memory::format_tag::nhwc));
}

MemoryDesc MemoryDesc::KernelBlocks(const TensorType& type) {
  return Make(type, Tagged(type, dnnl::memory::format_tag::OIhw16i16o));
}

MemoryDesc MemoryDesc::TileBlocks(const TensorType& type) {
  return Make(type, Tagged(type, dnnl::memory::format_tag::AB16b64a2b));
}

MemoryDesc MemoryDesc::Any(const TensorType& type) {
  return Make(type, Tagged(type, dnnl::memory::format_tag::any));
}

MemoryDesc MemoryDesc::WithDType(DType dtype) const {
  const TensorType type = {rep_->type.shape, dtype};
#if DNNL_VERSION_MAJOR < 3
  dnnl::memory::desc desc = rep_->desc;
  desc.data.data_type = static_cast<dnnl_data_type_t>(ToDnnl(dtype));
  return Make(type, desc);
#else
  return Make(type, dnnl::memory::desc(Dims(type), ToDnnl(dtype), rep_->desc.get_strides()));
#endif
}

bool MemoryDesc::is_plain() const { return rep_->desc == PlainDesc(rep_->type); }

int64_t MemoryDesc::channel_block() const {
  if (is_plain()) {
    return 1;
  }
  switch (ChannelTag(*rep_)) {
    case dnnl::memory::format_tag::nChw16c:
      return 16;
    case dnnl::memory::format_tag::nChw8c:
      return 8;
    case dnnl::memory::format_tag::nhwc:
      return rep_->type.shape[1];
    default:
      return 0;
  }
}

MemoryDesc MemoryDesc::WithType(const TensorType& type) const {
  if (is_plain()) {
    return Plain(type);
  }
  const dnnl::memory::format_tag tag = ChannelTag(*rep_);
  return tag == dnnl::memory::format_tag::undef ? MemoryDesc() : Make(type, Tagged(type, tag));
}

bool MemoryDesc::has_padding() const { return bytes() != rep_->type.bytes(); }

int64_t MemoryDesc::bytes() const { return static_cast<int64_t>(rep_->desc.get_size()); }

TensorType MemoryDesc::type() const { return rep_->type; }

std::vector<int64_t> MemoryDesc::strides() const {
  const dnnl::memory::desc& raw = rep_->desc;
  const auto rank = static_cast<size_t>(rep_->type.shape.rank());
#if DNNL_VERSION_MAJOR < 3
  const auto& blocking = raw.data.format_desc.blocking;
  if (raw.data.format_kind != dnnl_blocked || blocking.inner_nblks != 0) {
    return {};
  }
  return {blocking.strides, blocking.strides + rank};
#else
  if (raw.get_format_kind() != dnnl::memory::format_kind::blocked || raw.get_inner_nblks() != 0) {
    return {};
  }
  std::vector<int64_t> strides = raw.get_strides();
  strides.resize(rank);
  return strides;
#endif
}

std::string LayoutKey(const MemoryDesc& desc) {
  const dnnl::memory::desc& raw = desc.rep().desc;
#if DNNL_VERSION_MAJOR < 3
  return std::string(reinterpret_cast<const char*>(&raw.data), sizeof(raw.data));
#else
  // Its binary form may hold bytes that were never set, so the layout is spelled out.
  if (raw.get_format_kind() != dnnl::memory::format_kind::blocked) {
    const std::vector<uint8_t> blob = const_cast<dnnl::memory::desc&>(raw).get_blob();
    return std::string(blob.begin(), blob.end());
  }
  std::string key = absl::StrCat(static_cast<int>(raw.get_data_type()));
  for (const auto& numbers : {raw.get_dims(),
                              raw.get_padded_dims(),
                              raw.get_padded_offsets(),
                              raw.get_strides(),
                              raw.get_inner_blks(),
                              raw.get_inner_idxs(),
                              {raw.get_submemory_offset()}}) {
    absl::StrAppend(&key, ";", absl::StrJoin(numbers, ","));
  }
  return key;
#endif
}

bool operator==(const MemoryDesc& a, const MemoryDesc& b) {
  if (a.rep_ == b.rep_) {
    return true;
  }
  return a.rep_ != nullptr && b.rep_ != nullptr && a.rep_->desc == b.rep_->desc;
}

}  // namespace hone::engine::onednn
