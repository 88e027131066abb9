"""The containers and codecs that libav may open here. Everything else is refused."""

from __future__ import annotations

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,mxf,dv,gif,apng,ivf,yuv4mpegpipe,"
    "mpegvideo"
)
VIDEO_CODECS = (
    "8bps,aic,apng,av1,cfhd,cinepak,dirac,dnxhd,dvvideo,dxv,ffv1,ffvhuff,flashsv,flashsv2,flv1,fraps,gif,h261,h263,"
    "h263i,h263p,h264,hap,hevc,hq_hqa,hqx,huffyuv,indeo3,indeo4,indeo5,jpeg2000,lagarith,magicyuv,mjpeg,mjpegb,"
    "mpeg1video,mpeg2video,mpeg4,msmpeg4v1,msmpeg4v2,msmpeg4v3,msrle,msvideo1,notchlc,png,prores,qtrle,r10k,r210,"
    "rawvideo,rpza,sheervideo,smc,speedhq,svq1,svq3,targa,theora,tscc,tscc2,utvideo,v210,v308,v408,v410,vc1,vp3,"
    "vp5,vp6,vp6a,vp6f,vp7,vp8,vp9,vvc,wmv1,wmv2,wmv3,y41p,yuv4,zmbv"
)
AUDIO_CODECS = (
    "aac,aac_latm,ac3,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_swf,adpcm_yamaha,alac,amr_nb,amr_wb,amrnb,amrwb,ape,"
    "dca,dts,dvaudio,eac3,flac,gsm,gsm_ms,mace3,mace6,mlp,mp1,mp2,mp3,nellymoser,opus,pcm_alaw,pcm_bluray,pcm_dvd,"
    "pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,pcm_lxf,pcm_mulaw,pcm_s16be,pcm_s16be_planar,pcm_s16le,"
    "pcm_s16le_planar,pcm_s24be,pcm_s24le,pcm_s24le_planar,pcm_s32be,pcm_s32le,pcm_s32le_planar,pcm_s8,"
    "pcm_s8_planar,pcm_u16be,pcm_u16le,pcm_u8,qdm2,qdmc,s302m,speex,truehd,tta,vorbis,wavpack,wmalossless,wmapro,"
    "wmav1,wmav2,wmavoice"
)
USUAL_CODECS = (
    "Accepted are H.264, HEVC, VVC, AV1, VP8, VP9, MPEG-1, -2 and -4, ProRes, DNxHD, CineForm, DV, JPEG 2000, "
    "Motion JPEG, v210, WMV, VC-1, FFV1, HuffYUV, Ut Video, PNG, Animation and others that libav reads safely."
)
DECODERS = (
    "flv,libdav1d,libvpx,dirac,libvpx-vp9,libopus,libvorbis,libspeex,amrnb,amrwb,mp3float,mp2float,mp1float"
)
